// The same bytes of a client to our server and to node:http2's: conversations in order, with all
// that a client may do between its calls, have to get the same answers; where bytes were changed,
// what both answer has to be the same.
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { CLIENT_PREFACE, FrameType, SettingId } from '../../transport/http2/frames/constants.ts';
import { HpackEncoder, mostBlockBytes } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { AnswerReader, type ReadAnswer } from './answer-reader.ts';
import { byteChanges, changed, chunkSizes, chunksOf } from './byte-changes.ts';
import { type EchoEnd, echoEnds } from './echo-ends.ts';
import { type Verdict, waitingTarget } from './fuzz-target.ts';
import { plainNames, plainValues } from './header-blocks.ts';
import { frameBytes, settingBytes, uint32Bytes } from './wire-bytes.ts';

interface Call {
  readonly headers: readonly (readonly [string, string])[];
  readonly pieces: readonly number[];
  /** Of HEADERS and every DATA frame; null: none. */
  readonly padding: number | null;
  readonly hasPriority: boolean;
  /** HEADERS is cut here, the rest goes into CONTINUATION. */
  readonly cut: number | null;
  readonly hasTrailers: boolean;
}

interface Talk {
  readonly calls: readonly Call[];
  /** Frames between those of the calls, in turn. */
  readonly between: readonly Buffer[];
  readonly changes: readonly Parameters<typeof changed>[1][];
  readonly sizes: readonly number[];
}

const [END_STREAM, END_HEADERS, PADDED, PRIORITY] = [1, 4, 8, 0x20];
const LARGE_WINDOW = 10_000_000;
/** Answers that have not come by then never come; without order nobody knows what will. */
const ANSWER_MS = 10_000;
const IDLE_MS = 40;

const OPENING = Buffer.concat([
  CLIENT_PREFACE,
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(SettingId.INITIAL_WINDOW_SIZE, LARGE_WINDOW)),
  frameBytes(FrameType.WINDOW_UPDATE, 0, 0, uint32Bytes(LARGE_WINDOW)),
  frameBytes(FrameType.SETTINGS, 1, 0, Buffer.alloc(0)),
]);

function padded(content: Buffer, padding: number | null): readonly [flag: number, Buffer] {
  if (padding === null) return [0, content];
  return [PADDED, Buffer.concat([Uint8Array.of(padding), content, Buffer.alloc(padding)])];
}

function headersOf(call: Call, id: number, block: Buffer): Buffer {
  const cut = call.cut === null ? block.length : call.cut % (block.length + 1);
  const priority = call.hasPriority ? [uint32Bytes(0), Uint8Array.of(16)] : [];
  const head = Buffer.concat([...priority, block.subarray(0, cut)]);
  const [padFlag, payload] = padded(head, call.padding);
  const isAll = call.pieces.length === 0 && !call.hasTrailers;
  const flags = padFlag | (call.hasPriority ? PRIORITY : 0) | (isAll ? END_STREAM : 0);
  if (call.cut === null) return frameBytes(FrameType.HEADERS, flags | END_HEADERS, id, payload);
  const rest = frameBytes(FrameType.CONTINUATION, END_HEADERS, id, block.subarray(cut));
  return Buffer.concat([frameBytes(FrameType.HEADERS, flags, id, payload), rest]);
}

function bytesOf(talk: Talk): Buffer {
  const encoder = new HpackEncoder();
  const frames: Buffer[] = [OPENING];
  let next = 0;
  const encoded = (fields: readonly (readonly [string, string])[]): Buffer => {
    const list = fields.map(([name, value]) => headerField(name, value));
    const target = Buffer.alloc(mostBlockBytes(list));
    return target.subarray(0, encoder.encode(list, target));
  };
  const between = (): void => {
    const frame = talk.between[next % Math.max(1, talk.between.length)];
    next += 1;
    if (frame !== undefined) frames.push(frame);
  };
  for (const [at, call] of talk.calls.entries()) {
    const id = at * 2 + 1;
    const pseudo = [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', `/${at}`],
      [':authority', 'host'],
    ] as const;
    frames.push(headersOf(call, id, encoded([...pseudo, ...call.headers])));
    for (const [i, size] of call.pieces.entries()) {
      between();
      const isEnd = i === call.pieces.length - 1 && !call.hasTrailers;
      const [flag, payload] = padded(Buffer.alloc(size, i + at), call.padding);
      frames.push(frameBytes(FrameType.DATA, flag | (isEnd ? END_STREAM : 0), id, payload));
    }
    between();
    if (!call.hasTrailers) continue;
    const block = encoded([['x-end', String(at)]]);
    frames.push(frameBytes(FrameType.HEADERS, END_STREAM | END_HEADERS, id, block));
  }
  return Buffer.concat(frames);
}

/** Reads until all `ids` are answered, or the socket ends; with bytes changed until it is quiet. */
function answersOf(socket: Socket, ids: readonly number[], isInOrder: boolean) {
  const reader = new AnswerReader();
  return new Promise<AnswerReader>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve(reader);
    };
    let timer = setTimeout(done, isInOrder ? ANSWER_MS : IDLE_MS);
    socket.on('data', (chunk: Buffer) => {
      reader.read([chunk]);
      if (!isInOrder) {
        clearTimeout(timer);
        timer = setTimeout(done, IDLE_MS);
      } else if (ids.every((id) => reader.of(id)?.isEnded)) done();
    });
    socket.on('error', () => {});
    socket.on('close', done);
  });
}

async function askedOf(end: EchoEnd, talk: Talk, bytes: Buffer): Promise<AnswerReader> {
  const isInOrder = talk.changes.length === 0;
  const ids = talk.calls.map((_, at) => at * 2 + 1);
  const answers = answersOf(end.socket, ids, isInOrder);
  for (const chunk of chunksOf(bytes, talk.sizes)) end.socket.write(chunk);
  return await answers;
}

/** A process that dies takes a moment for it after its sockets have closed. */
async function diesSoon(end: EchoEnd): Promise<boolean> {
  for (let waits = 0; end.socket.destroyed && !end.hasDied() && waits < 10; waits++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return end.hasDied();
}

function told(answer: ReadAnswer | undefined): string {
  if (answer === undefined) return 'nothing';
  const { httpStatus, contentBytes, contentSum, status } = answer;
  return `${httpStatus} ${contentBytes} bytes ${contentSum} status ${status}`;
}

async function judge(talk: Talk): Promise<Verdict> {
  const bytes = talk.changes.reduce(changed, bytesOf(talk));
  const ends = await echoEnds();
  const [ours, nodes] = await Promise.all(ends.map((end) => askedOf(end, talk, bytes)));
  const isAlone = await diesSoon(ends[1]);
  const left = (await ends[0].close()) ?? (await ends[1].close());
  if (ours?.broken !== undefined) return ours.broken;
  if (isAlone) return left;
  for (const at of talk.calls.keys()) {
    const [a, b] = [ours?.of(at * 2 + 1), nodes?.of(at * 2 + 1)];
    const isBoth = a?.isEnded === true && b?.isEnded === true && !a.isReset && !b.isReset;
    if (talk.changes.length > 0 && !isBoth) continue;
    if (told(a) !== told(b)) return `call ${at}: ours answers ${told(a)}; node's ${told(b)}`;
  }
  return left;
}

const call: fc.Arbitrary<Call> = fc.record({
  headers: fc.array(fc.tuple(plainNames, plainValues), { maxLength: 5 }),
  pieces: fc.array(fc.constantFrom(0, 1, 100, 5_000, 16_000), { maxLength: 4 }),
  padding: fc.option(fc.constantFrom(0, 7, 255), { freq: 2 }),
  hasPriority: fc.boolean(),
  cut: fc.option(fc.nat({ max: 100 }), { freq: 2 }),
  hasTrailers: fc.boolean(),
});

/** All in order wherever they come. */
const between = fc.constantFrom(
  frameBytes(FrameType.PING, 0, 0, Buffer.from('fuzzfuzz')),
  frameBytes(FrameType.WINDOW_UPDATE, 0, 0, uint32Bytes(1)),
  frameBytes(FrameType.PRIORITY, 0, 1, Buffer.concat([uint32Bytes(3), Uint8Array.of(1)])),
  frameBytes(0x42, 0xff, 1, Buffer.alloc(30)),
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(SettingId.HEADER_TABLE_SIZE, 0)),
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(SettingId.HEADER_TABLE_SIZE, 4_096)),
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(SettingId.MAX_FRAME_SIZE, 20_000)),
  frameBytes(FrameType.SETTINGS, 0, 0, settingBytes(0x99, 7)),
);

export const rawClientTarget = waitingTarget({
  name: 'raw-client',
  runsPerBatch: 10,
  input: fc.record({
    calls: fc.array(call, { minLength: 1, maxLength: 6 }),
    between: fc.array(between, { maxLength: 6 }),
    changes: fc.oneof(fc.constant([]), fc.array(byteChanges, { minLength: 1, maxLength: 2 })),
    sizes: chunkSizes,
  }),
  judge,
});
