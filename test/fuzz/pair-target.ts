// Both ends of a connection, ours, talking through pipes that deliver bytes when fuzzing says so:
// any windows, frame sizes, tables and limits on streams, calls of any size that some cancel, a
// drain in the middle. Promised: every call that nobody cancelled is answered, with the same bytes;
// both ends keep to RFC 9113; nothing is left.
import fc from 'fast-check';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { CollectHandler, EchoHandler } from '../../transport/http2/connection/echo-handler.ts';
import { DEFAULT_LIMITS } from '../../transport/http2/connection/limits.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { Progress, type Stream } from '../../transport/http2/connection/stream.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { pureTarget, type Verdict } from './fuzz-target.ts';
import { plainNames, plainValues } from './header-blocks.ts';
import { SenderAudit } from './sender-audit.ts';

interface Call {
  /** Sent in these pieces. */
  readonly pieces: readonly number[];
  readonly headers: readonly (readonly [string, string])[];
  readonly hasTrailers: boolean;
  /** After so many more steps. */
  readonly cancelAfter: number | null;
}

interface Side {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxFrameBytes: number;
  readonly headerTableBytes: number;
}

interface Script {
  readonly client: Side;
  readonly server: Side;
  readonly concurrentStreams: number;
  readonly calls: readonly Call[];
  /** What happens next: bytes to the client, to the server, the next call, or its next piece. */
  readonly steps: readonly { readonly do: number; readonly bytes: number }[];
  readonly drainAt: number;
}

const MOST_ROUNDS = 20_000;
const CANCEL = 8;

interface Running {
  readonly call: Call;
  readonly stream: Stream;
  nextPiece: number;
  isOver: boolean;
  isCancelled: boolean;
  isRefused: boolean;
  cancelIn: number;
}

/** One direction: what was taken of the sender and has not reached the other end. */
class Pipe {
  readonly audit: SenderAudit;
  readonly #from: Connection;
  readonly #to: Connection;
  readonly #toAudit: () => SenderAudit;
  #waiting: Buffer = Buffer.alloc(0);
  #frames: Buffer[] = [];
  #framesBytes = 0;

  constructor(from: Connection, to: Connection, isClient: boolean, toAudit: () => SenderAudit) {
    this.#from = from;
    this.#to = to;
    this.audit = new SenderAudit(isClient);
    this.#toAudit = toAudit;
    this.#framesBytes = isClient ? 24 : 0;
  }

  take(): void {
    const chunks = this.#from.take();
    this.#frames.push(...this.audit.sent(chunks));
    this.#waiting = Buffer.concat([this.#waiting, ...chunks]);
  }

  /** False when there was nothing to deliver. */
  deliver(bytes: number): boolean {
    this.take();
    const chunk = this.#waiting.subarray(0, bytes);
    if (chunk.length === 0) return false;
    this.#waiting = this.#waiting.subarray(chunk.length);
    this.#framesBytes -= chunk.length;
    for (;;) {
      const frame = this.#frames[0];
      if (frame === undefined || this.#framesBytes + frame.length > 0) break;
      this.#framesBytes += frame.length;
      this.#frames.shift();
      const id = frame.readUInt32BE(5) & 0x7fffffff;
      this.#toAudit().heard(frame[3] ?? 0, frame[4] ?? 0, id, frame.subarray(9));
    }
    this.#to.receive(Uint8Array.prototype.slice.call(chunk), 1);
    return true;
  }
}

export class Pair {
  readonly #script: Script;
  readonly #client: Connection;
  readonly #server: Connection;
  readonly #collect: CollectHandler;
  readonly #toServer: Pipe;
  readonly #toClient: Pipe;
  readonly #running: Running[] = [];
  #nextCall = 0;

  constructor(script: Script) {
    this.#script = script;
    const limits = { ...DEFAULT_LIMITS, concurrentStreams: script.concurrentStreams };
    const pool = new BlockPool();
    const echo = new EchoHandler();
    this.#server = new Connection(
      connectionOptions(true, { ...script.server, limits, pool }),
      echo,
      0,
    );
    echo.serve(this.#server);
    this.#collect = new CollectHandler(
      (stream, bytes) => this.#client.consume(stream, bytes),
      (stream) => this.#ended(stream),
    );
    const options = connectionOptions(false, { ...script.client, pool });
    this.#client = new Connection(options, this.#collect, 0);
    this.#toServer = new Pipe(this.#client, this.#server, true, () => this.#toClient.audit);
    this.#toClient = new Pipe(this.#server, this.#client, false, () => this.#toServer.audit);
  }

  run(): Verdict {
    this.#script.steps.forEach((step, at) => {
      if (at === this.#script.drainAt) this.#server.drain(1);
      if (step.do === 0) this.#toServer.deliver(step.bytes);
      else if (step.do === 1) this.#toClient.deliver(step.bytes);
      else if (step.do === 2) this.#open();
      else this.#goOn();
      this.#cancel();
    });
    let rounds = 0;
    for (let moved = true; moved && rounds < MOST_ROUNDS; rounds++) {
      const opened = this.#open();
      const sent = this.#goOn();
      this.#cancel();
      const there = this.#toServer.deliver(50_000);
      const back = this.#toClient.deliver(50_000);
      moved = opened || sent || there || back;
    }
    if (rounds === MOST_ROUNDS) return 'the two ends never come to rest';
    return this.#verdict();
  }

  #verdict(): Verdict {
    for (const { audit } of [this.#toServer, this.#toClient]) {
      audit.end();
      if (audit.broken !== undefined) return audit.broken;
    }
    if (this.#collect.failure !== undefined) return `the client failed: ${this.#collect.failure}`;
    if (this.#client.isFailed || this.#server.isFailed) return 'a connection has failed';
    const isDrained = this.#script.drainAt < this.#script.steps.length;
    if (!isDrained && this.#nextCall < this.#script.calls.length) {
      return `call ${this.#nextCall} could never be opened`;
    }
    for (const one of this.#running) {
      const wrong = this.#answer(one);
      if (wrong !== undefined) return `call on stream ${one.stream.id}: ${wrong}`;
    }
    const left = this.#client.openStreams + this.#server.openStreams;
    if (left > 0) return `${left} streams are left`;
    const held = this.#client.heldBytes + this.#server.heldBytes;
    return held > 0 ? `${held} bytes are left` : undefined;
  }

  #answer(one: Running): Verdict {
    if (!one.isOver && !one.isCancelled) return 'never answered';
    if (one.isCancelled || one.isRefused) return undefined;
    const { chunks, headers, trailers } = this.#collect.answerOf(one.stream);
    const wanted = one.call.pieces.map((size, at) => Buffer.alloc(size, at + 1));
    const isHello = one.call.pieces.length === 0 && !one.call.hasTrailers;
    const content = isHello ? Buffer.from('hello') : Buffer.concat(wanted);
    if (!Buffer.concat(chunks).equals(content)) return 'other bytes came back';
    if (headers === undefined || trailers === undefined) return 'headers or trailers are missing';
    return undefined;
  }

  #ended(stream: Stream): void {
    const one = this.#running.find((running) => running.stream === stream);
    if (one === undefined) return;
    one.isOver = true;
    one.isRefused = stream.isReset;
  }

  #open(): boolean {
    const call = this.#script.calls[this.#nextCall];
    if (call === undefined) return false;
    const fields = [
      headerField(':method', 'POST'),
      headerField(':scheme', 'http'),
      headerField(':path', '/a.B/C'),
      ...call.headers.map(([name, value]) => headerField(name, value)),
    ];
    const stream = this.#client.open(fields, call.pieces.length === 0 && !call.hasTrailers);
    if (stream === undefined) return false;
    this.#nextCall += 1;
    const cancelIn = call.cancelAfter ?? Number.POSITIVE_INFINITY;
    const flags = { isOver: false, isCancelled: false, isRefused: false };
    this.#running.push({ call, stream, nextPiece: 0, cancelIn, ...flags });
    return true;
  }

  /** The next piece of every call. */
  #goOn(): boolean {
    let isAny = false;
    for (const one of this.#running) {
      const { call, stream } = one;
      if (stream.isClosed || stream.sending !== Progress.OPEN) continue;
      isAny = true;
      const size = call.pieces[one.nextPiece];
      one.nextPiece += 1;
      const isEnd = one.nextPiece >= call.pieces.length && !call.hasTrailers;
      if (size === undefined) this.#client.sendTrailers(stream, [headerField('x-end', '1')]);
      else this.#client.sendData(stream, Buffer.alloc(size, one.nextPiece), isEnd);
    }
    return isAny;
  }

  #cancel(): void {
    for (const one of this.#running) {
      one.cancelIn -= 1;
      if (one.cancelIn > 0 || one.isOver || one.isCancelled) continue;
      one.isCancelled = true;
      this.#client.reset(one.stream, CANCEL);
    }
  }
}

const side: fc.Arbitrary<Side> = fc.record({
  streamWindowBytes: fc.constantFrom(65_535, 70_000, 1_048_576),
  connectionWindowBytes: fc.constantFrom(65_535, 65_536, 200_000, 4_194_304),
  maxFrameBytes: fc.constantFrom(16_384, 20_000, 1_000_000),
  headerTableBytes: fc.constantFrom(4_096, 0, 100),
});

const call: fc.Arbitrary<Call> = fc.record({
  pieces: fc.array(fc.constantFrom(0, 1, 100, 8_192, 20_000, 65_535, 200_000), { maxLength: 4 }),
  headers: fc.array(fc.tuple(plainNames, plainValues), { maxLength: 4 }),
  hasTrailers: fc.boolean(),
  cancelAfter: fc.option(fc.nat({ max: 40 }), { freq: 4 }),
});

export const pairTarget = pureTarget({
  name: 'pair',
  share: 2,
  runsPerBatch: 40,
  input: fc.record({
    client: side,
    server: side,
    concurrentStreams: fc.constantFrom(1, 2, 1_000),
    calls: fc.array(call, { minLength: 1, maxLength: 12 }),
    steps: fc.array(
      fc.record({
        do: fc.constantFrom(0, 0, 1, 1, 2, 3),
        bytes: fc.constantFrom(1, 9, 100, 20_000, 1_000_000),
      }),
      { maxLength: 80 },
    ),
    drainAt: fc.oneof(
      { weight: 4, arbitrary: fc.constant(1_000) },
      { weight: 1, arbitrary: fc.nat({ max: 60 }) },
    ),
  }),
  judge: (script) => new Pair(script).run(),
});
