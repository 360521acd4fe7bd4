import test from 'ava';
import fc from 'fast-check';
import { ErrorCode, errorName, Flag, FrameType, frameName } from './constants.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import type { ShapeError } from './frame-shape.ts';
import { BlockPool, Output } from './output.ts';

const MAX_FRAME_BYTES = 16_384;

class Recorder implements FrameSink {
  readonly seen: string[] = [];
  readonly payloads: Uint8Array[] = [];

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): boolean {
    const content = Buffer.from(bytes.subarray(start, end)).toString('hex');
    this.seen.push(`${frameName(type)} ${flags} ${streamId} ${content}`);
    this.payloads.push(bytes.subarray(start, end));
    return true;
  }

  onMisshapen(error: ShapeError, type: number, streamId: number): boolean {
    this.seen.push(`${error.ofStream ? 'stream' : 'connection'} ${frameName(type)} ${streamId}`);
    this.seen.push(errorName(error.code));
    return error.ofStream;
  }
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const output = new Output(new BlockPool());
  output.frameHeader(payload.length, type, flags, streamId);
  output.copy(payload, 0, payload.length);
  return Buffer.concat(output.take());
}

/** DATA in a row of one stream as one: where a frame is cut, it may come as several. */
function joined(seen: readonly string[]): string[] {
  const lines: string[] = [];
  for (const line of seen) {
    const [name, flags, streamId, content] = line.split(' ');
    const [lastName, lastFlags, lastStreamId, before = ''] = lines.at(-1)?.split(' ') ?? [];
    const isSame = name === 'DATA' && lastName === name && lastStreamId === streamId;
    if (!isSame || lastFlags === String(Flag.END_STREAM)) lines.push(line);
    else lines[lines.length - 1] = `${name} ${flags} ${streamId} ${before}${content}`;
  }
  return lines;
}

const anyFrame = fc.record({
  type: fc.constantFrom(FrameType.DATA, FrameType.HEADERS, FrameType.CONTINUATION, 0x42),
  flags: fc.constantFrom(0, Flag.END_STREAM, Flag.END_HEADERS),
  streamId: fc.integer({ min: 1, max: 0x7fffffff }),
  payload: fc.oneof(fc.uint8Array({ maxLength: 3000 }), fc.constant(new Uint8Array(9_000))),
});

test('frames come out the same however the bytes are cut into chunks', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 }),
      (frames, cuts) => {
        const parts = frames.map((f) => frame(f.type, f.flags, f.streamId, f.payload));
        const bytes = Buffer.concat(parts);
        const hexOf = (payload: Uint8Array) => Buffer.from(payload).toString('hex');
        const expected = frames.map(
          (f) => `${frameName(f.type)} ${f.flags} ${f.streamId} ${hexOf(f.payload)}`,
        );
        const reader = new FrameReader(MAX_FRAME_BYTES);
        const recorder = new Recorder();
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const to = at + (cuts[i % cuts.length] ?? 1);
          reader.read(bytes.subarray(at, to), recorder);
          at = to;
        }
        t.deepEqual(joined(recorder.seen), joined(expected));
        t.false(reader.midFrame);
        t.is(reader.heldBytes, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('a byte at a time is enough', (t) => {
  const bytes = Buffer.concat([
    frame(FrameType.PING, 0, 0, Buffer.from('01234567')),
    frame(FrameType.DATA, Flag.END_STREAM, 7, new Uint8Array(0)),
  ]);
  const reader = new FrameReader(MAX_FRAME_BYTES);
  const recorder = new Recorder();
  for (const byte of bytes) reader.read(Uint8Array.of(byte), recorder);
  t.deepEqual(recorder.seen, ['PING 0 0 3031323334353637', 'DATA 1 7 ']);
});

test('large content that is cut is given as it comes, its end with the last part', (t) => {
  const bytes = frame(FrameType.DATA, Flag.END_STREAM, 1, new Uint8Array(10_000).fill(7));
  const reader = new FrameReader(MAX_FRAME_BYTES);
  const recorder = new Recorder();
  const sizes: number[] = [];
  for (let at = 0; at < bytes.length; at += 4_000) {
    reader.read(bytes.subarray(at, at + 4_000), recorder);
    sizes.push(recorder.payloads.at(-1)?.length ?? 0);
    t.is(reader.heldBytes, 0, 'nothing is put together');
  }
  t.deepEqual(sizes, [4_000 - 9, 4_000, 2_009]);
  t.deepEqual(
    recorder.seen.map((line) => line.split(' ')[1]),
    ['0', '0', String(Flag.END_STREAM)],
  );
  t.false(reader.midFrame);
});

test('a frame within a chunk is a view of the chunk', (t) => {
  const bytes = frame(FrameType.DATA, 0, 1, Buffer.from('payload'));
  const recorder = new Recorder();
  new FrameReader(MAX_FRAME_BYTES).read(bytes, recorder);
  t.is(recorder.payloads[0]?.buffer, bytes.buffer);
});

test('memory for a cut frame grows with what has come, not with what is announced', (t) => {
  const reader = new FrameReader(1_000_000);
  const bytes = frame(FrameType.DATA, 0, 1, new Uint8Array(900_000));
  reader.read(bytes.subarray(0, 9), new Recorder());
  t.true(reader.midFrame);
  t.is(reader.heldBytes, 0);
  reader.read(bytes.subarray(9, 5009), new Recorder());
  t.true(reader.heldBytes <= 10_000);
});

const MISSHAPEN: readonly [number, number, number, number, string, number][] = [
  [FrameType.DATA, 0, 0, 1, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.DATA, Flag.PADDED, 1, 0, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.HEADERS, 0, 0, 1, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.HEADERS, Flag.PRIORITY, 1, 4, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.PRIORITY, 0, 0, 5, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.PRIORITY, 0, 1, 4, 'stream', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.RST_STREAM, 0, 0, 4, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.RST_STREAM, 0, 1, 3, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.SETTINGS, 0, 1, 0, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.SETTINGS, 0, 0, 5, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.SETTINGS, Flag.ACK, 0, 6, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.PUSH_PROMISE, 0, 0, 4, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.PING, 0, 1, 8, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.PING, 0, 0, 7, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.GOAWAY, 0, 1, 8, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.GOAWAY, 0, 0, 7, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.WINDOW_UPDATE, 0, 1, 3, 'connection', ErrorCode.FRAME_SIZE_ERROR],
  [FrameType.CONTINUATION, 0, 0, 1, 'connection', ErrorCode.PROTOCOL_ERROR],
  [FrameType.DATA, 0, 1, MAX_FRAME_BYTES + 1, 'connection', ErrorCode.FRAME_SIZE_ERROR],
];

test('a frame of the wrong shape is refused at its header, before its payload has come', (t) => {
  const after = frame(FrameType.PING, 0, 0, Buffer.from('01234567'));
  for (const [type, flags, streamId, length, scope, code] of MISSHAPEN) {
    const wrong = frame(type, flags, streamId, new Uint8Array(length));
    for (const cut of [5, 9, wrong.length]) {
      const recorder = new Recorder();
      const reader = new FrameReader(MAX_FRAME_BYTES);
      reader.read(wrong.subarray(0, cut), recorder);
      reader.read(Buffer.concat([wrong.subarray(cut), after]), recorder);
      const expected = [`${scope} ${frameName(type)} ${streamId}`, errorName(code)];
      if (scope === 'stream') expected.push('PING 0 0 3031323334353637');
      t.deepEqual(recorder.seen, expected, `${frameName(type)} cut at ${cut}`);
    }
  }
});
