import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { listenSockets } from './sockets.ts';

test('connections are handed on; a cut ends them all and frees the port', async (t) => {
  const accepted = Promise.withResolvers<void>();
  const listen = (port: number) =>
    listenSockets({
      host: '127.0.0.1',
      port,
      portFlag: '--a-port',
      onConnection: () => accepted.resolve(),
    });
  const listener = await listen(0);
  const client = connect(listener.port, '127.0.0.1');
  await accepted.promise;
  const taken = await t.throwsAsync(listen(listener.port), { instanceOf: StatusError });
  t.is(taken?.code, Code.ALREADY_EXISTS);
  t.regex(taken?.message ?? '', /--a-port/);

  listener.close();
  let isGone = false;
  const gone = listener.gone().then(() => {
    isGone = true;
  });
  t.false(isGone, 'closing leaves open connections');
  const ended = once(client, 'close');
  client.resume();
  listener.cut();
  await Promise.all([ended, gone]);
  (await listen(listener.port)).cut();
});
