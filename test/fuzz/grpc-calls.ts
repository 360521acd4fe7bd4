// Calls for fuzzing a gRPC server: heads and messages, right and wrong ones, as the frames that a
// client sends, with what has to come of each.
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { FrameType } from '../../transport/http2/frames/constants.ts';
import { prebuiltBlock } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { plainValues } from './header-blocks.ts';
import { frameBytes, uint32Bytes } from './wire-bytes.ts';

/** What fuzz/echo-service.ts does with each. */
export const PATHS = {
  echo: '/fuzz.Echo/Unary',
  later: '/fuzz.Echo/Later',
  fails: '/fuzz.Echo/Fails',
  stream: '/fuzz.Echo/Stream',
  sum: '/fuzz.Echo/Sum',
  raw: '/fuzz.Echo/Raw',
} as const;

export interface FuzzMessage {
  readonly bytes: Buffer;
  readonly isPacked: boolean;
  /** Of its prefix: 0 or 1 as it is packed, or what no message has. */
  readonly flag: number;
  /** Added to the length in its prefix. */
  readonly lengthOff: number;
}

export interface FuzzCall {
  readonly path: string;
  readonly contentType: string;
  readonly encoding: string | null;
  readonly accepts: string | null;
  readonly timeout: string | null;
  readonly metadata: readonly (readonly [string, string])[];
  readonly messages: readonly FuzzMessage[];
  /** Where the content is cut into DATA frames. */
  readonly cuts: readonly number[];
  readonly ends: 'with data' | 'with an empty frame' | 'with trailers' | 'reset' | 'never';
}

const texts = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  { weight: 1, arbitrary: fc.constantFrom(1_000, 20_000).map((size) => new Uint8Array(size)) },
);

const messages: fc.Arbitrary<FuzzMessage> = fc
  .record({
    bytes: texts,
    isPacked: fc.constantFrom(false, false, false, true),
    flag: fc.constantFrom(-1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 255),
    lengthOff: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 100_000, 0x7fffffff),
  })
  .map(({ bytes, isPacked, flag, lengthOff }) => ({
    bytes: Buffer.from(bytes),
    isPacked,
    flag: flag < 0 ? Number(isPacked) : flag,
    lengthOff,
  }));

const metadataNames = fc.constantFrom('x-a', 'x-b-bin', 'grpc-trace-bin', 'authorization');

export const fuzzCalls: fc.Arbitrary<FuzzCall> = fc.record({
  path: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...Object.values(PATHS)) },
    { weight: 1, arbitrary: fc.constantFrom('/', '/fuzz.Echo/', '/a/b?c', '*') },
  ),
  contentType: fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom('application/grpc', 'application/grpc+proto') },
    { weight: 1, arbitrary: fc.constantFrom('', 'text/plain', 'application/grpcx') },
  ),
  encoding: fc.option(fc.constantFrom('gzip', 'gzip', 'identity', 'br'), { freq: 2 }),
  accepts: fc.option(fc.constantFrom('gzip', 'identity,gzip', 'br'), { freq: 2 }),
  timeout: fc.option(fc.constantFrom('1S', '100m', '1n', '99999999H', '5', '0S'), { freq: 3 }),
  metadata: fc.array(fc.tuple(metadataNames, plainValues), { maxLength: 3 }),
  messages: fc.oneof(
    { weight: 3, arbitrary: fc.array(messages, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: fc.array(messages, { maxLength: 5 }) },
  ),
  cuts: fc.array(fc.nat({ max: 200 }), { maxLength: 5 }),
  ends: fc.constantFrom(
    'with data',
    'with data',
    'with data',
    'with an empty frame',
    'with trailers',
    'reset',
    'never',
  ),
});

const END_STREAM = 1;
const END_HEADERS = 4;
const MAX_FRAME_BYTES = 16_384;
const CANCEL = 8;

function blockOf(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.from(prebuiltBlock(fields.map(([name, value]) => headerField(name, value))));
}

function headOf(call: FuzzCall): Buffer {
  const optional = (name: string, value: string | null): [string, string][] =>
    value === null ? [] : [[name, value]];
  return blockOf([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', call.path],
    [':authority', 'host'],
    ['te', 'trailers'],
    ['content-type', call.contentType],
    ...optional('grpc-encoding', call.encoding),
    ...optional('grpc-accept-encoding', call.accepts),
    ...optional('grpc-timeout', call.timeout),
    ...call.metadata,
  ]);
}

function contentOf(call: FuzzCall): Buffer {
  const parts = call.messages.flatMap(({ bytes, isPacked, flag, lengthOff }) => {
    const content = isPacked ? gzipSync(bytes) : bytes;
    return [Buffer.from([flag]), uint32Bytes(content.length + lengthOff), content];
  });
  return Buffer.concat(parts);
}

function dataFrames(
  id: number,
  content: Buffer,
  cuts: readonly number[],
  isEnd: boolean,
): Buffer[] {
  const at = cuts.map((cut) => cut % (content.length + 1)).sort((a, b) => a - b);
  const frames: [number, Buffer][] = [0, ...at].flatMap((from, i) => {
    const piece = content.subarray(from, at[i] ?? content.length);
    const pieces: [number, Buffer][] = [];
    for (let start = 0; start < piece.length; start += MAX_FRAME_BYTES) {
      pieces.push([0, piece.subarray(start, start + MAX_FRAME_BYTES)]);
    }
    return pieces;
  });
  if (isEnd && frames.length === 0) frames.push([0, Buffer.alloc(0)]);
  const last = frames.at(-1);
  if (isEnd && last !== undefined) last[0] = END_STREAM;
  return frames.map(([flags, piece]) => frameBytes(FrameType.DATA, flags, id, piece));
}

/** The frames of a call on a stream, in their order. */
export function framesOf(call: FuzzCall, id: number): Buffer[] {
  const head = frameBytes(FrameType.HEADERS, END_HEADERS, id, headOf(call));
  const frames = [head, ...dataFrames(id, contentOf(call), call.cuts, call.ends === 'with data')];
  switch (call.ends) {
    case 'with an empty frame':
      frames.push(frameBytes(FrameType.DATA, END_STREAM, id, Buffer.alloc(0)));
      break;
    case 'with trailers':
      frames.push(
        frameBytes(FrameType.HEADERS, END_STREAM | END_HEADERS, id, blockOf([['x-end', '1']])),
      );
      break;
    case 'reset':
      frames.push(frameBytes(FrameType.RST_STREAM, 0, id, uint32Bytes(CANCEL)));
      break;
    default:
  }
  return frames;
}

/** Frames of several calls mixed, those of each in their order; `order` picks whose is next. */
export function mixed(calls: readonly FuzzCall[], order: readonly number[]): Buffer[] {
  const left = calls.map((call, at) => framesOf(call, at * 2 + 1));
  // Streams begin in the order of their ids.
  const frames = left.map((own) => own.shift() ?? Buffer.alloc(0));
  for (let turn = 0; left.some((own) => own.length > 0); turn++) {
    const waiting = left.filter((own) => own.length > 0);
    const next = waiting[(order[turn % order.length] ?? 0) % waiting.length]?.shift();
    if (next !== undefined) frames.push(next);
  }
  return frames;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function isSoundHead(call: FuzzCall): boolean {
  const isBinary = ([name, value]: readonly [string, string]): boolean =>
    !name.endsWith('-bin') ||
    value.split(',').every((part) => BASE64.test(part) && part.replace(/=+$/, '').length % 4 !== 1);
  return (
    call.contentType.startsWith('application/grpc') &&
    call.contentType !== 'application/grpcx' &&
    call.encoding !== 'br' &&
    call.timeout !== '5' &&
    call.timeout !== '0S' &&
    call.metadata.every(isBinary)
  );
}

/** Larger ones are refused by the server that is fuzzed. */
export const MAX_MESSAGE_BYTES = 50_000;

function inflated(message: Buffer): Buffer | undefined {
  try {
    return gunzipSync(message);
  } catch {
    return undefined;
  }
}

/** The messages that a call comes to, inflated; undefined when something is wrong in it. */
export function soundMessages(call: FuzzCall): readonly Buffer[] | undefined {
  if (!isSoundHead(call) || !call.ends.startsWith('with')) return undefined;
  const content = contentOf(call);
  const messages: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    if (content.length - at < 5) return undefined;
    const [flag, length] = [content[at] ?? 0, content.readUInt32BE(at + 1)];
    const end = at + 5 + length;
    if (end > content.length || length > MAX_MESSAGE_BYTES) return undefined;
    if (flag > 1 || (flag === 1 && call.encoding !== 'gzip')) return undefined;
    const wire = content.subarray(at + 5, end);
    const message = flag === 1 ? inflated(wire) : wire;
    if (message === undefined || message.length > MAX_MESSAGE_BYTES) return undefined;
    messages.push(message);
    at = end;
  }
  return messages;
}
