// One end of a connection, fed whatever a peer might send, with an owner that answers, resets and
// forgets. Promised: it never throws, holds no more than its bounds, tells its owner of every
// stream's end once, reads the same however the bytes were cut, and leaves nothing behind.
import fc from 'fast-check';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { Progress } from '../../transport/http2/connection/stream.ts';
import { CLIENT_PREFACE, FRAME_HEADER_BYTES } from '../../transport/http2/frames/constants.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { allocatedBytes } from './allocations.ts';
import { chunkSizes, chunksOf } from './byte-changes.ts';
import { ConnectionOwner } from './connection-owner.ts';
import { type FuzzTarget, pureTarget, type Verdict } from './fuzz-target.ts';
import { conversations } from './hostile-frames.ts';

const CONNECTION_WINDOW_BYTES = 131_072;
const STREAM_WINDOW_BYTES = 65_535;
const SENT_AT_ONCE_BYTES = 90_000;
const REQUEST = [
  headerField(':method', 'POST'),
  headerField(':scheme', 'http'),
  headerField(':path', '/a.B/C'),
  headerField(':authority', 'host'),
];

interface Input {
  readonly bytes: Buffer;
  readonly sizes: readonly number[];
  readonly script: readonly number[];
  /** Bytes are taken after every so many chunks; never: what comes must not depend on the cuts. */
  readonly takeEvery: number;
}

const NEVER = 0;
/** Larger parts of DATA frames are told apart: chunks that are compared are smaller. */
const LEAST_PART_BYTES = 2_048;

interface Played {
  readonly owner: ConnectionOwner;
  /** Before the end. */
  readonly events: readonly string[];
  readonly verdict: Verdict;
}

function makeConnection(isServer: boolean, owner: ConnectionOwner): Connection {
  const options = connectionOptions(isServer, {
    streamWindowBytes: STREAM_WINDOW_BYTES,
    connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    pool: new BlockPool(),
  });
  const connection = new Connection(options, owner, 0);
  owner.serve(connection);
  return connection;
}

/** What the owner sent, in the queues, is not the peer's doing. */
function mostHeldBytes(owner: ConnectionOwner, limit: number): number {
  const sent = owner.events.length * SENT_AT_ONCE_BYTES;
  return CONNECTION_WINDOW_BYTES * 2 + limit + sent;
}

function openStreams(connection: Connection, owner: ConnectionOwner, count: number): void {
  for (let i = 0; i < count; i++) {
    const stream = connection.open(REQUEST, i % 3 === 0);
    if (stream === undefined) return;
    owner.opened(stream);
    if (stream.sending === Progress.OPEN)
      connection.sendData(stream, Buffer.alloc(100), i % 3 === 1);
  }
}

function play(isServer: boolean, input: Input, chunks: readonly Uint8Array[]): Played {
  const owner = new ConnectionOwner(input.script);
  const connection = makeConnection(isServer, owner);
  const limit = 1_048_576 + 65_536;
  let verdict: Verdict;
  if (!isServer) openStreams(connection, owner, 5);
  chunks.forEach((chunk, at) => {
    connection.receive(chunk, 1);
    if (input.takeEvery !== NEVER && at % input.takeEvery === 0) connection.take();
    const held = connection.heldBytes;
    if (held > mostHeldBytes(owner, limit)) verdict ??= `holds ${held} bytes`;
    if (!(connection.deadlineMs() >= 0)) verdict ??= `a deadline at ${connection.deadlineMs()}`;
  });
  const events = [...owner.events];
  if (connection.isFailed && owner.open.length > 0) {
    verdict ??= `nobody was told of the end of ${owner.open.length} streams`;
  }
  return { owner, events, verdict: verdict ?? end(connection, owner) };
}

function end(connection: Connection, owner: ConnectionOwner): Verdict {
  for (const stream of owner.open) connection.reset(stream, 8);
  for (const stream of owner.over) connection.consume(stream, stream.unconsumedBytes);
  if (connection.unconsumedBytes !== 0) {
    return `the window is ${connection.unconsumedBytes} bytes short, and no stream has them`;
  }
  if (connection.openStreams !== 0) return 'streams are open that nobody was told of';
  connection.take();
  connection.onTime(200_000);
  connection.take();
  connection.lost('over');
  connection.take();
  if (owner.broken !== undefined) return owner.broken;
  if (connection.openStreams !== 0) return `${connection.openStreams} streams are left`;
  if (connection.heldBytes !== 0) return `${connection.heldBytes} bytes are left`;
  connection.receive(Buffer.alloc(100), 200_001);
  return connection.take().length === 0 ? undefined : 'sends after its end';
}

/** What a chunk may cost: its own size a few times over, and the blocks of answers. */
function mostAllocated(input: Input, owner: ConnectionOwner): number {
  return 400_000 + input.bytes.length * 8 + owner.events.length * SENT_AT_ONCE_BYTES * 2;
}

/** Up to the last frame that is whole: of one that is not, as much is told as has come. */
function wholeFrames(isServer: boolean, bytes: Buffer): Buffer {
  let at = isServer ? CLIENT_PREFACE.length : 0;
  for (;;) {
    const end = at + FRAME_HEADER_BYTES;
    const next = end <= bytes.length ? end + bytes.readUIntBE(at, 3) : Number.POSITIVE_INFINITY;
    if (next > bytes.length) return bytes.subarray(0, at);
    at = next;
  }
}

function judge(isServer: boolean, given: Input): Verdict {
  const isCompared = given.takeEvery === NEVER;
  const input = isCompared
    ? {
        ...given,
        bytes: wholeFrames(isServer, given.bytes),
        sizes: given.sizes.map((size) => size % LEAST_PART_BYTES),
      }
    : given;
  let cut: Played | undefined;
  const bytes = allocatedBytes(() => {
    cut = play(isServer, input, chunksOf(input.bytes, input.sizes));
  });
  if (cut === undefined || cut.verdict !== undefined) return cut?.verdict;
  if (bytes > mostAllocated(input, cut.owner)) {
    return `${input.bytes.length} bytes made it allocate ${bytes}`;
  }
  if (!isCompared) return undefined;
  const whole = play(isServer, input, [Buffer.from(input.bytes)]);
  if (whole.verdict !== undefined) return whole.verdict;
  const [a, b] = [cut.events, whole.events];
  const at = a.findIndex((event, i) => event !== b[i]);
  if (at < 0 && a.length === b.length) return undefined;
  const where = at < 0 ? a.length : at;
  return `cut into chunks: event ${where} is ${a[where]}; whole: ${b[where]}`;
}

function target(isServer: boolean): FuzzTarget {
  return pureTarget({
    name: isServer ? 'server-connection' : 'client-connection',
    share: 2,
    runsPerBatch: 100,
    input: fc.record({
      bytes: conversations(isServer),
      sizes: chunkSizes,
      script: fc.array(fc.nat({ max: 11 }), { minLength: 1, maxLength: 12 }),
      takeEvery: fc.constantFrom(NEVER, NEVER, 1, 2, 5),
    }),
    judge: (input) => judge(isServer, input),
  });
}

export const connectionTargets = [target(true), target(false)];
