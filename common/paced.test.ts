import test from 'ava';
import { VirtualClock } from './clock.ts';
import { paced } from './paced.ts';
import { Code, StatusError } from './status.ts';

/** A source that brings a piece of so many bytes after each wait. */
async function* pieces(clock: VirtualClock, sizeBytes: number, waitMs: number, count: number) {
  for (let left = count; left > 0; left -= 1) {
    await new Promise<void>((resolve) => {
      clock.after(waitMs, resolve);
      queueMicrotask(() => clock.advance(waitMs));
    });
    yield Buffer.alloc(sizeBytes);
  }
}

async function taken(source: AsyncIterable<Uint8Array>, each: () => void = () => {}) {
  let sizeBytes = 0;
  for await (const piece of source) {
    sizeBytes += piece.length;
    each();
  }
  return sizeBytes;
}

const PACE = { windowMs: 1_000, minBytes: 100 };

test('what comes fast enough comes whole, however long it takes in all', async (t) => {
  const clock = new VirtualClock();
  t.is(await taken(paced(pieces(clock, 50, 400, 100), PACE, clock)), 5_000);
  t.true(clock.nowMs() > 30_000);
});

test('a byte now and then is too slow, and so is nothing', async (t) => {
  const clock = new VirtualClock();
  const slow = paced(pieces(clock, 1, 300, 100), PACE, clock);
  const error = await t.throwsAsync(taken(slow), { instanceOf: StatusError });
  t.is(error?.code, Code.DEADLINE_EXCEEDED);
  t.regex(error?.message ?? '', /only 3 bytes came for 1 s, at least 100 are expected/);
  t.true(clock.nowMs() <= 1_200);
  const silent = paced(pieces(clock, 1, 5_000, 1), PACE, clock);
  await t.throwsAsync(taken(silent), { message: /^no byte came for 1 s/ });
});

test('the time that its reader takes does not count', async (t) => {
  const clock = new VirtualClock();
  const source = paced(pieces(clock, 60, 400, 10), PACE, clock);
  t.is(await taken(source, () => clock.advance(60_000)), 600);
});
