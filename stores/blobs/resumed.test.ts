import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import type { Clock } from '../../common/clock.ts';
import { Code, notFound, StatusError, unavailable } from '../../common/status.ts';
import type { BlobRange, BlobReader } from './blobs.ts';
import { MAX_FRUITLESS_RESUMES, RESUME_PAUSE_MS, resumed } from './resumed.ts';
import { verified } from './verified.ts';

/** Its time passes at once; keeps the pauses. */
function quickClock() {
  const pauses: number[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    after(delayMs, callback) {
      pauses.push(delayMs);
      queueMicrotask(callback);
      return () => undefined;
    },
  };
  return { clock, pauses };
}

/** Gives as many bytes as the next number of `lengths` says, then breaks; then all the rest. */
function breaking(bytes: Uint8Array, lengths: readonly number[], error = unavailable('broken')) {
  const starts: number[] = [];
  const left = [...lengths];
  const blobs: BlobReader = {
    stat: () => Promise.resolve(undefined),
    async *read(_: string, range?: BlobRange) {
      const start = range?.startByte ?? 0;
      starts.push(start);
      const length = left.shift();
      for (let at = start; at < Math.min(bytes.length, start + (length ?? Infinity)); at += 1) {
        yield bytes.subarray(at, at + 1);
      }
      if (length !== undefined) throw error;
    },
  };
  return { blobs, starts };
}

test('however a transfer breaks, the whole arrives and no byte twice', async (t) => {
  const pieces = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 8 });
  const content = fc.uint8Array({ minLength: 80, maxLength: 99 });
  const property = fc.asyncProperty(content, pieces, async (bytes, lengths) => {
    const { blobs, starts } = breaking(bytes, lengths);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const whole = verified(resumed(blobs, sha256, quickClock().clock), { sha256 });
    t.deepEqual(Buffer.concat(await Array.fromAsync(whole)), Buffer.from(bytes));
    let sum = 0;
    t.deepEqual(starts, [0, ...lengths.map((length) => (sum += length))]);
  });
  await fc.assert(property, { numRuns: 50 });
});

test('it gives up after attempts that bring nothing, with growing pauses', async (t) => {
  const { blobs, starts } = breaking(Buffer.alloc(9), [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const { clock, pauses } = quickClock();
  const error = await t.throwsAsync(Array.fromAsync(resumed(blobs, 'x', clock)));
  t.true(error instanceof StatusError && error.code === Code.UNAVAILABLE);
  t.deepEqual(starts, [0, 2, 2, 2, ...Array.from({ length: MAX_FRUITLESS_RESUMES }, () => 3)]);
  t.is(MAX_FRUITLESS_RESUMES, 5);
  t.deepEqual(
    pauses,
    [1, 2, 4, 1, 2, 4, 8, 16].map((factor) => factor * RESUME_PAUSE_MS),
  );
});

test('a store that gives nothing, or refuses, is not asked again', async (t) => {
  for (const [lengths, error] of [
    [[0], unavailable('away')],
    [[2], notFound('removed')],
  ] as const) {
    const { blobs, starts } = breaking(Buffer.alloc(9), lengths, error);
    const reading = Array.fromAsync(resumed(blobs, 'x', quickClock().clock));
    t.is(await t.throwsAsync(reading), error);
    t.deepEqual(starts, [0]);
  }
});
