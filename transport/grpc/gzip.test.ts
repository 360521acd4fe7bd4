import { constants, gzipSync } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { deflateLater, deflateNow, inflateLater, inflateNow, MAX_AT_ONCE_BYTES } from './gzip.ts';

const MEGABYTE = 1024 * 1024;

function later(bytes: Uint8Array, maxMessageBytes: number): Promise<Uint8Array | StatusError> {
  return new Promise((resolve) => inflateLater(bytes, maxMessageBytes, resolve));
}

/** The code of the error; undefined: not to be inflated at once. */
function outcomeNow(bytes: Uint8Array): Code | undefined {
  try {
    if (inflateNow(bytes, 1000) === undefined) return undefined;
    return Code.OK;
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown.code;
    throw thrown;
  }
}

const isEqual = (a: unknown, b: Uint8Array): boolean =>
  a instanceof Uint8Array && Buffer.compare(a, b) === 0;

test('any message comes back', async (t) => {
  const size = fc.oneof(fc.nat(300), fc.integer({ min: 65_000, max: MAX_AT_ONCE_BYTES }));
  await fc.assert(
    fc.asyncProperty(size, fc.nat(255), async (sizeBytes, seed) => {
      const message = new Uint8Array(sizeBytes).map((_, at) => (at * seed) >> 3);
      const packed = deflateNow(message) ?? new Uint8Array(0);
      t.true(isEqual(inflateNow(packed, sizeBytes + 1), message));
      t.true(isEqual(await later(packed, sizeBytes + 1), message));
    }),
    { numRuns: 30 },
  );
});

test('large messages are packed and unpacked in another thread', async (t) => {
  const message = new Uint8Array(MEGABYTE).fill(7);
  t.is(deflateNow(message), undefined);
  const packed = await new Promise<Uint8Array | StatusError>((resolve) => {
    deflateLater(message, resolve);
  });
  if (packed instanceof StatusError) throw packed;
  t.is(inflateNow(packed, MEGABYTE), undefined);
  t.true(isEqual(await later(packed, MEGABYTE), message));
});

test('one byte above the limit is RESOURCE_EXHAUSTED, at once or later', async (t) => {
  const packed = gzipSync(new Uint8Array(10_001));
  t.is(inflateNow(packed, 10_001)?.length, 10_001);
  const error = t.throws(() => inflateNow(packed, 10_000), { instanceOf: StatusError });
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /more than the limit of 10000 bytes/);
  const slow = await later(packed, 10_000);
  t.is(slow instanceof StatusError && slow.code, Code.RESOURCE_EXHAUSTED);
});

test('a bomb that tells its size is not inflated at all', (t) => {
  const bomb = gzipSync(new Uint8Array(50 * MEGABYTE));
  bomb.fill(0, 100, 1000);
  const error = t.throws(() => inflateNow(bomb, 4 * MEGABYTE), { instanceOf: StatusError });
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
});

test.serial(
  'a bomb that lies about its size is not inflated at once, nor beyond the limit',
  async (t) => {
    const bomb = gzipSync(new Uint8Array(50 * MEGABYTE));
    bomb.writeUInt32LE(10, bomb.length - 4);
    t.true(bomb.length < MAX_AT_ONCE_BYTES);
    const before = process.memoryUsage().arrayBuffers;
    t.is(inflateNow(bomb, 4 * MEGABYTE), undefined);
    const answer = await later(bomb, 4 * MEGABYTE);
    t.is(answer instanceof StatusError && answer.code, Code.RESOURCE_EXHAUSTED);
    const taken = process.memoryUsage().arrayBuffers - before;
    t.true(taken < 7 * MEGABYTE, `${taken} bytes were allocated`);
  },
);

test('a bomb of many members stays within the limit too', async (t) => {
  const member = gzipSync(new Uint8Array(1000));
  const bomb = Buffer.concat(Array.from({ length: 1000 }, () => member));
  const error = t.throws(() => inflateNow(bomb, 10_000), { instanceOf: StatusError });
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  const slow = await later(bomb, 10_000);
  t.is(slow instanceof StatusError && slow.code, Code.RESOURCE_EXHAUSTED);
});

test('what is no gzip is INTERNAL', async (t) => {
  const sound = gzipSync('text');
  const damaged = Buffer.from(sound);
  damaged[12] = (damaged[12] ?? 0) ^ 0xff;
  const cut = gzipSync('text', { finishFlush: constants.Z_SYNC_FLUSH });
  for (const bytes of [
    new Uint8Array(0),
    Buffer.from('plain text'),
    damaged,
    cut,
    sound.subarray(1),
  ]) {
    const now = outcomeNow(bytes);
    // Its last bytes may tell of much, or of too much.
    t.true(now === undefined || now === Code.INTERNAL || now === Code.RESOURCE_EXHAUSTED);
    const slow = await later(bytes, 1000);
    t.is(slow instanceof StatusError && slow.code, Code.INTERNAL);
  }
});

test('changed bytes are a message or a StatusError', (t) => {
  const sound = gzipSync(Buffer.from('some text that repeats, some text that repeats'));
  fc.assert(
    fc.property(fc.nat(sound.length - 1), fc.nat(255), (at, value) => {
      const bytes = Buffer.from(sound);
      bytes[at] = value;
      try {
        t.true((inflateNow(bytes, 100)?.length ?? 0) <= 100);
      } catch (error) {
        t.true(error instanceof StatusError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
