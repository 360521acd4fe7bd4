import { MessageChannel } from 'node:worker_threads';
import test from 'ava';
import { Code, notFound, StatusError } from '../common/status.ts';
import { callOverPort, servePort } from './port-calls.ts';

test('calls and their errors cross, each to its own caller', async (t) => {
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  servePort(port1, {
    double: async (value: number) => value * 2,
    fail: async (what: string) => {
      throw notFound(`no ${what}`);
    },
  });
  const other = callOverPort(port2);
  t.deepEqual(await Promise.all([other.call('double', 2), other.call('double', 5)]), [4, 10]);
  const error = await t.throwsAsync(other.call('fail', 'model'));
  t.true(error instanceof StatusError && error.code === Code.NOT_FOUND);
  t.is(error?.message, 'no model');
});

test('a function that is not served is told, inherited names too', async (t) => {
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  servePort(port1, {});
  const other = callOverPort(port2);
  for (const name of ['double', 'toString', '__proto__']) {
    await t.throwsAsync(other.call(name), { message: `this thread has no '${name}'` });
  }
});

test('a thread that ends fails what is under way and what comes', async (t) => {
  const { port1, port2 } = new MessageChannel();
  servePort(port1, { never: () => new Promise(() => undefined) });
  const other = callOverPort(port2);
  const waiting = t.throwsAsync(other.call('never'), { message: 'the thread has ended' });
  port1.close();
  await waiting;
  await t.throwsAsync(other.call('never'), { message: 'the thread has ended' });
});

test('what can not cross is told to its caller, and the port goes on', async (t) => {
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  servePort(port1, {
    giveFunction: async () => () => undefined,
    double: async (value: number) => value * 2,
  });
  const other = callOverPort(port2);
  await t.throwsAsync(other.call('giveFunction'), { message: /could not be cloned/ });
  await t.throwsAsync(
    other.call('double', () => undefined),
    { message: /could not be cloned/ },
  );
  t.is(await other.call('double', 2), 4);
});
