// Frames for fuzzing one end of a connection: those an honest peer sends, those it must never send,
// and conversations of both. Few stream ids, so that frames meet streams in every state.
import fc from 'fast-check';
import { CLIENT_PREFACE, FrameType } from '../../transport/http2/frames/constants.ts';
import { prebuiltBlock } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { byteChanges, changed } from './byte-changes.ts';
import { headerBlocks } from './header-blocks.ts';
import { frameBytes, settingBytes, uint32Bytes } from './wire-bytes.ts';

const block = (...fields: readonly (readonly [string, string])[]): Buffer =>
  Buffer.from(prebuiltBlock(fields.map(([name, value]) => headerField(name, value))));

const REQUEST_HEAD = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  [':authority', 'host'],
  ['te', 'trailers'],
  ['content-type', 'application/grpc'],
] as const;
export const REQUEST = block(...REQUEST_HEAD);
const RESPONSE = block([':status', '200'], ['content-type', 'application/grpc']);
const INFORMATION = block([':status', '103']);
const TRAILERS = block(['grpc-status', '0']);

/** A request whose head ends with fields that vary, so that tables fill. */
const requests = fc.oneof(
  { weight: 4, arbitrary: fc.constant(REQUEST) },
  { weight: 3, arbitrary: headerBlocks.map((more) => Buffer.concat([REQUEST, more])) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('0', '5', '3000', 'x', '999999999999999999')
      .map((length) => Buffer.concat([REQUEST, block(['content-length', length])])),
  },
);
const responses = fc.oneof(
  fc.constantFrom(RESPONSE, RESPONSE, INFORMATION),
  headerBlocks.map((more) => Buffer.concat([RESPONSE, more])),
);
const trailers = fc.oneof(fc.constant(TRAILERS), headerBlocks);

const localIds = fc.constantFrom(1, 1, 3, 3, 5, 7, 9, 11);
const anyIds = fc.oneof(
  { weight: 6, arbitrary: localIds },
  { weight: 2, arbitrary: fc.constantFrom(0, 2, 13, 101, 0x7fffffff) },
);
const sizes = fc.constantFrom(0, 1, 9, 1_000, 16_384);
const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 0x20;

function padded(content: Uint8Array, padding: number | null): [flags: number, payload: Buffer] {
  if (padding === null) return [0, Buffer.from(content)];
  return [PADDED, Buffer.concat([Uint8Array.of(padding), content, Buffer.alloc(padding)])];
}

const paddings = fc.option(fc.constantFrom(0, 1, 255), { freq: 4 });

const data = fc
  .record({ id: localIds, size: sizes, isEnd: fc.boolean(), padding: paddings })
  .map(({ id, size, isEnd, padding }) => {
    const room = padding === null ? size : Math.min(size, 16_384 - 1 - padding);
    const [flags, payload] = padded(Buffer.alloc(room, id), padding);
    return frameBytes(FrameType.DATA, flags | (isEnd ? END_STREAM : 0), id, payload);
  });

/** A block as one HEADERS frame or as several frames, with padding and priority. */
const headersOf = (blocks: fc.Arbitrary<Buffer>, isEnd: fc.Arbitrary<boolean>) =>
  fc
    .record({
      id: localIds,
      block: blocks,
      isEnd,
      padding: paddings,
      parent: fc.option(fc.constantFrom(0, 1, 3, 0x80000005), { freq: 6 }),
      cuts: fc.array(fc.nat(), { maxLength: 2 }),
    })
    .map(({ id, block: whole, isEnd: ends, padding, parent, cuts }) => {
      const at = cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b);
      const pieces = [0, ...at].map((from, i) => whole.subarray(from, at[i] ?? whole.length));
      const priority = parent === null ? [] : [uint32Bytes(parent), Uint8Array.of(16)];
      const head = Buffer.concat([...priority, pieces[0] ?? whole]);
      const [padFlag, payload] = padded(head, padding);
      const last = pieces.length - 1;
      const flags = padFlag | (ends ? END_STREAM : 0) | (parent === null ? 0 : PRIORITY);
      const first = frameBytes(
        FrameType.HEADERS,
        flags | (last === 0 ? END_HEADERS : 0),
        id,
        payload,
      );
      const rest = pieces.slice(1).map((piece, i) => {
        const flag = i + 1 === last ? END_HEADERS : 0;
        return frameBytes(FrameType.CONTINUATION, flag, id, piece);
      });
      return Buffer.concat([first, ...rest]);
    });

const settings = fc
  .array(
    fc.tuple(
      fc.integer({ min: 0, max: 9 }),
      fc.constantFrom(0, 1, 77, 4_096, 16_384, 65_535, 1_000_000, 0x7fffffff, 0x80000000),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => {
    const payload = Buffer.concat(pairs.map(([id, value]) => settingBytes(id, value)));
    return frameBytes(FrameType.SETTINGS, 0, 0, payload);
  });
const honestSettings = fc
  .constantFrom(0, 1, 77, 65_535, 100_000)
  .map((bytes) => frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(4, bytes)));
const settingsAck = fc.constant(frameBytes(FrameType.SETTINGS, 1, 0, Buffer.alloc(0)));
const increments = fc.constantFrom(1, 1_000, 65_535, 0x7fffffff, 0);
const windowUpdate = fc
  .tuple(fc.oneof(fc.constant(0), localIds), increments)
  .map(([id, by]) => frameBytes(FrameType.WINDOW_UPDATE, 0, id, uint32Bytes(by)));
const honestUpdate = fc
  .tuple(fc.oneof(fc.constant(0), localIds), fc.constantFrom(1, 1_000, 65_535))
  .map(([id, by]) => frameBytes(FrameType.WINDOW_UPDATE, 0, id, uint32Bytes(by)));
const reset = fc
  .tuple(localIds, fc.constantFrom(0, 7, 8, 99))
  .map(([id, code]) => frameBytes(FrameType.RST_STREAM, 0, id, uint32Bytes(code)));
const ping = fc
  .tuple(fc.constantFrom(0, 1), fc.constantFrom('12345678', 'drain\0\0\0', 'alive?\0\0'))
  .map(([flags, text]) => frameBytes(FrameType.PING, flags, 0, Buffer.from(text, 'latin1')));
const priority = fc
  .tuple(localIds, fc.constantFrom(0, 1, 3))
  .map(([id, parent]) =>
    frameBytes(FrameType.PRIORITY, 0, id, Buffer.concat([uint32Bytes(parent), Buffer.alloc(1)])),
  );
const goaway = fc
  .tuple(fc.constantFrom(0, 1, 5, 0x7fffffff), fc.constantFrom(0, 2))
  .map(([last, code]) => frameBytes(FrameType.GOAWAY, 0, 0, uint32Bytes(last, code)));
const unknown = fc
  .tuple(fc.integer({ min: 10, max: 255 }), fc.nat({ max: 255 }), anyIds, sizes)
  .map(([type, flags, id, size]) => frameBytes(type, flags, id, Buffer.alloc(size)));

const payloads = fc.oneof(
  headerBlocks,
  fc.uint8Array({ maxLength: 64 }),
  fc.constantFrom(0, 4, 5, 6, 8, 12, 1_000, 16_384, 16_385).map((length) => Buffer.alloc(length)),
);
/** Any type with any flags and content. */
const wild = fc
  .record({
    type: fc.integer({ min: 0, max: 11 }),
    flags: fc.nat(255),
    id: anyIds,
    bytes: payloads,
  })
  .map(({ type, flags, id, bytes }) => frameBytes(type, flags, id, bytes));

const ends = fc.boolean();
/** Each in its place or out of it. */
const common = [
  { weight: 8, arbitrary: data },
  { weight: 2, arbitrary: headersOf(trailers, fc.constant(true)) },
  { weight: 2, arbitrary: honestUpdate },
  { weight: 1, arbitrary: honestSettings },
  { weight: 1, arbitrary: settingsAck },
  { weight: 1, arbitrary: reset },
  { weight: 1, arbitrary: ping },
  { weight: 1, arbitrary: priority },
  { weight: 1, arbitrary: unknown },
];
const rare = [
  { weight: 1, arbitrary: settings },
  { weight: 1, arbitrary: windowUpdate },
  { weight: 1, arbitrary: goaway },
  { weight: 1, arbitrary: wild },
];

const toServer = { weight: 8, arbitrary: headersOf(requests, ends) };
const toClient = { weight: 8, arbitrary: headersOf(responses, ends) };

/** What opens a connection: the preface of a client, SETTINGS, an acknowledgement. */
export function opening(isServer: boolean): Buffer {
  const empty = Buffer.alloc(0);
  return Buffer.concat([
    isServer ? CLIENT_PREFACE : empty,
    frameBytes(FrameType.SETTINGS, 0, 0, empty),
    frameBytes(FrameType.SETTINGS, 1, 0, empty),
  ]);
}

/** What a peer sends to a server or a client, in all: mostly in order, with some bytes changed. */
export function conversations(toAServer: boolean): fc.Arbitrary<Buffer> {
  const first = toAServer ? toServer : toClient;
  const honest = fc.oneof(first, ...common);
  const any = fc.oneof(first, ...common, ...rare);
  const frames = fc.oneof(fc.array(honest, { maxLength: 40 }), fc.array(any, { maxLength: 40 }));
  const changes = fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.array(byteChanges, { minLength: 1, maxLength: 3 }) },
  );
  return fc
    .tuple(frames, changes)
    .map(([sent, wrong]) => wrong.reduce(changed, Buffer.concat([opening(toAServer), ...sent])));
}
