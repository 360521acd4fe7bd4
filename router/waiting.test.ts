import test from 'ava';
import fc from 'fast-check';
import { Code } from '../common/status.ts';
import { WAITING_MARGIN_MS, type Waiter, WaitingRoom } from './waiting.ts';

const waiter = (model: string, sizeBytes: number, deadlineMs: number): Waiter => ({
  model,
  sizeBytes,
  deadlineMs,
});

test('a full room refuses with UNAVAILABLE and says how full it is', (t) => {
  const room = new WaitingRoom({ maxCalls: 2, maxBytes: 100 });
  t.is(room.enter(waiter('m', 60, 1)), undefined);
  const tooBig = room.enter(waiter('m', 41, 1));
  t.is(tooBig?.code, Code.UNAVAILABLE);
  t.regex(tooBig?.message ?? '', /'m'.*1 of 2 calls, 60 of 100 bytes/);
  t.is(room.enter(waiter('m', 40, 1)), undefined);
  t.is(room.enter(waiter('m', 0, 1))?.code, Code.UNAVAILABLE);
});

test('those whose model is ready go in the order of coming, late ones are told so', (t) => {
  const room = new WaitingRoom<Waiter>();
  const [a, b, c] = [waiter('m', 1, 500), waiter('n', 1, 100), waiter('m', 1, 300)];
  for (const one of [a, b, c]) room.enter(one);
  t.is(room.nextExpiryMs(), 100 - WAITING_MARGIN_MS);
  t.deepEqual(room.expired(100), [b]);
  t.deepEqual(
    room.release(({ model }) => model === 'm'),
    [a, c],
  );
  t.is(room.nextExpiryMs(), Number.POSITIVE_INFINITY);
  t.deepEqual([room.calls, room.bytes], [0, 0]);
});

test('bytes that come while a call waits are not taken from the room', (t) => {
  const room = new WaitingRoom<Waiter>();
  const growing = { model: 'm', sizeBytes: 10, deadlineMs: 1_000 };
  room.enter(growing);
  growing.sizeBytes = 500;
  room.enter(waiter('m', 7, 1_000));
  t.is(room.bytes, 17);
  t.true(room.leave(growing));
  t.is(room.bytes, 7);
});

test('whatever happens: within limits, each waiter leaves once, the sums are right', (t) => {
  const step = fc.oneof(
    fc.record({ enter: fc.nat(60), deadlineMs: fc.nat(100) }),
    fc.record({ leave: fc.nat(20) }),
    fc.record({ nowMs: fc.nat(100) }),
    fc.record({ release: fc.nat(1) }),
  );
  const check = fc.property(fc.array(step), (steps) => {
    const limits = { maxCalls: 5, maxBytes: 150 };
    const room = new WaitingRoom<Waiter>(limits);
    const inside = new Set<Waiter>();
    const all: Waiter[] = [];
    const out = (gone: readonly Waiter[]): boolean => gone.every((one) => inside.delete(one));
    for (const one of steps) {
      let isRight = true;
      if ('enter' in one) {
        const made = waiter(`m${one.enter % 2}`, one.enter, one.deadlineMs);
        all.push(made);
        if (room.enter(made) === undefined) inside.add(made);
      } else if ('leave' in one) {
        const made = all[one.leave];
        if (made !== undefined) isRight = room.leave(made) === inside.delete(made);
      } else if ('nowMs' in one) isRight = out(room.expired(one.nowMs));
      else isRight = out(room.release(({ model }) => model === `m${one.release}`));
      let bytes = 0;
      for (const held of inside) bytes += held.sizeBytes;
      if (!isRight || room.calls !== inside.size || room.bytes !== bytes) return false;
      if (room.calls > limits.maxCalls || room.bytes > limits.maxBytes) return false;
    }
    return true;
  });
  t.notThrows(() => fc.assert(check, { numRuns: 300 }));
});
