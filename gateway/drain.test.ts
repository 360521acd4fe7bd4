import test from 'ava';
import { DOUBLER, doubler } from './testing/doubler.ts';
import { startedGateway } from './testing/started.ts';

const INFER = `/v2/models/${DOUBLER}/infer`;
const BODY = { inputs: [{ name: 'X', datatype: 'FP32', shape: [1], data: [2] }] };

test('stop lets a request in flight end, and takes no new one', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const gateway = await startedGateway({
    inference: doubler({
      onInfer: async () => {
        arrived.resolve();
        await gate.promise;
      },
    }),
    drainTimeoutMs: 60_000,
  });
  const answer = gateway.post(INFER, BODY);
  await arrived.promise;
  const stopped = gateway.stop();
  await t.throwsAsync(
    (async () => {
      // The listener closes within some turns of the event loop.
      for (;;) await fetch(`${gateway.url}/v2`, { headers: { connection: 'close' } });
    })(),
  );
  gate.resolve();
  t.is((await answer).status, 200);
  await stopped;
});

test('what does not end within the drain is cut, and its call cancelled', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const gateway = await startedGateway({
    inference: doubler({
      onInfer: async ({ signal }) => {
        signal.addEventListener('abort', () => cancelled.resolve());
        arrived.resolve();
        await cancelled.promise;
      },
    }),
    drainTimeoutMs: 20,
  });
  const cut = t.throwsAsync(gateway.post(INFER, BODY));
  await arrived.promise;
  await gateway.stop();
  await cancelled.promise;
  await cut;
});

test('stopping twice is stopping once', async (t) => {
  const gateway = await startedGateway();
  await Promise.all([gateway.stop(), gateway.stop()]);
  await gateway.stop();
  t.pass();
});
