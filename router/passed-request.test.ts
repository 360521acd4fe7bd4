// What is gathered of a request before it goes on, byte for byte: no sockets, no clock.
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { Code, type StatusError } from '../common/status.ts';
import { framed, inferRequest } from '../test/support/raw-caller.ts';
import { MODEL_INFER, MODEL_STREAM_INFER } from './forward.ts';
import { HEAD_BYTES, KEPT_REQUEST_BYTES, PassedRequest } from './passed-request.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const NAME = Buffer.from([0x0a, 1, 'm'.charCodeAt(0)]);

/** A field of so many bytes in all: an unknown one, or one by its tag. */
function filler(sizeBytes: number, tag: readonly number[] = [0xa2, 0x06]): Buffer {
  const field = Buffer.alloc(sizeBytes);
  // The length in four bytes of seven bits each.
  const length = sizeBytes - tag.length - 4;
  const bits = (shift: number): number => (length >> shift) & 0x7f;
  field.set([...tag, bits(0) | 0x80, bits(7) | 0x80, bits(14) | 0x80, bits(21)]);
  return field;
}
/** Field 3, the id of the request, which may come before the name. */
const id = (sizeBytes: number): Buffer => filler(sizeBytes, [0x1a]);

const request = (path = MODEL_INFER): PassedRequest =>
  new PassedRequest(path, path === MODEL_STREAM_INFER, MAX_BYTES);

function refusalOf(pieces: readonly Buffer[]): StatusError | undefined {
  const one = request();
  try {
    pieces.forEach((piece, at) => {
      one.push(piece, at === pieces.length - 1);
    });
    return undefined;
  } catch (thrown) {
    return thrown as StatusError;
  }
}

test('a large request goes on once its first 64 KiB name the model; else it is gathered', (t) => {
  const rest = filler(2 * KEPT_REQUEST_BYTES);
  const cases: readonly (readonly [before: Buffer, isTold: boolean])[] = [
    [Buffer.alloc(0), true],
    [id(HEAD_BYTES - NAME.length - 2), true],
    [id(HEAD_BYTES), false],
    // Its number is greater than the name's: only the whole tells that a name follows.
    [filler(100), false],
  ];
  for (const [before, isTold] of cases) {
    const bytes = framed(Buffer.concat([before, NAME, rest]));
    const one = request();
    let toldAt = bytes.length;
    for (let at = 0; at < bytes.length; at += 16_384) {
      const end = Math.min(at + 16_384, bytes.length);
      one.push(bytes.subarray(at, end), end === bytes.length);
      if (one.phase === 'named') toldAt = Math.min(toldAt, end);
    }
    t.is(one.named?.model, 'm');
    t.is(toldAt < 3 * HEAD_BYTES, isTold, `told after ${toldAt}`);
    t.is(one.isPassing, isTold);
    t.true(Buffer.concat(one.pieces).equals(bytes), 'what goes on is what came');
  }
});

test('it is gathered up to the limit of a message, and refused above it at once', (t) => {
  const deep = (sizeBytes: number): Buffer =>
    framed(Buffer.concat([filler(sizeBytes - NAME.length), NAME]));
  t.is(refusalOf([deep(MAX_BYTES)]), undefined);
  const above = deep(MAX_BYTES + 1);
  for (const pieces of [[above], [above.subarray(0, 5)]]) {
    const refusal = refusalOf([...pieces, Buffer.alloc(0)]);
    t.is(refusal?.code, Code.RESOURCE_EXHAUSTED);
    t.regex(refusal?.message ?? '', /larger than the limit/);
  }
});

test('a name that comes again behind what has gone on is refused, wherever it is', (t) => {
  const head = inferRequest(10);
  const filling = filler(2 * KEPT_REQUEST_BYTES);
  for (const again of [
    [head, NAME, filling],
    [head, filling, NAME],
  ]) {
    const bytes = framed(Buffer.concat(again));
    const refusal = refusalOf([bytes.subarray(0, 60_000), bytes.subarray(60_000)]);
    t.is(refusal?.code, Code.INVALID_ARGUMENT, refusal?.message);
  }
});

test('what was dropped is kept no more, whatever comes later', (t) => {
  const bytes = framed(inferRequest(2 * KEPT_REQUEST_BYTES));
  const one = request();
  one.push(bytes.subarray(0, 1_000), false);
  t.true(one.isKept);
  one.drop();
  one.push(bytes.subarray(1_000, 5_000), false);
  t.false(one.isKept);
});

test('up to 1 MiB is small, without its prefix', (t) => {
  for (const more of [0, 1]) {
    const one = request();
    one.push(framed(Buffer.concat([NAME, filler(KEPT_REQUEST_BYTES + more - NAME.length)])), true);
    t.is(one.messageBytes, KEPT_REQUEST_BYTES + more);
    t.is(one.isSmall, more === 0);
  }
});

test('what a packed message inflated to takes its place, unless it was forgotten', (t) => {
  const message = inferRequest(KEPT_REQUEST_BYTES);
  const packed = framed(gzipSync(message), true);
  const one = request();
  one.push(packed, true);
  t.is(one.phase, 'packed');
  one.told(message);
  t.true(one.isSmall);
  t.true(one.unpack());
  t.true(one.unpack(), 'it is so already');
  t.false(one.isSmall, 'it is what is held that counts');
  t.true(one.message().length === message.length);
  const other = request();
  other.push(packed, true);
  other.told(message);
  other.forgetInflated();
  t.false(other.unpack());
  t.true(Buffer.concat(other.pieces).equals(packed));
});
