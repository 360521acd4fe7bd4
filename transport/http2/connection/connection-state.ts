// What all parts of a connection share: its streams, windows and settings, and the ways in which a
// stream or the connection ends. The parts that read frames and send them work on this.
import { DEFAULT_WINDOW_BYTES, ErrorCode, MIN_MAX_FRAME_BYTES } from '../frames/constants.ts';
import { writeGoaway, writeReset, writeWindowUpdate } from '../frames/control-frames.ts';
import { type BlockPool, Output } from '../frames/output.ts';
import { HpackDecoder } from '../hpack/decoder.ts';
import { HpackEncoder } from '../hpack/encoder.ts';
import { DEFAULT_HEADER_LIMITS } from '../hpack/header-list.ts';
import { Budget, Budgets } from './budgets.ts';
import { ClosedStreams, Ending } from './closed-streams.ts';
import { Drain } from './drain.ts';
import type { ConnectionHandler } from './handler.ts';
import { Keepalive } from './keepalive.ts';
import type { ConnectionLimits, LimitName } from './limits.ts';
import { Progress, Stream } from './stream.ts';
import { StreamTable } from './stream-table.ts';
import { WindowGrowth } from './window-growth.ts';

export interface ConnectionOptions {
  readonly isServer: boolean;
  readonly limits: ConnectionLimits;
  /** What a peer may send on a stream before it is consumed; 65,535 at least. */
  readonly streamWindowBytes: number;
  /** The same for all streams together: what the connection's memory is bounded by. */
  readonly connectionWindowBytes: number;
  /** A stream that is consumed as it comes is given more, up to this ... */
  readonly mostStreamWindowBytes: number;
  /** ... out of so much for all streams of the connection together; 0: none is. */
  readonly windowGrowthBytes: number;
  /** The largest frame that the peer may send; 16,384 at least. */
  readonly maxFrameBytes: number;
  /** The peer's HPACK table. */
  readonly headerTableBytes: number;
  /** Shared by the connections of a thread. */
  readonly pool: BlockPool;
}

export class ConnectionState {
  readonly isServer: boolean;
  readonly options: ConnectionOptions;
  readonly limits: ConnectionLimits;
  readonly handler: ConnectionHandler;
  readonly output: Output;
  readonly decoder: HpackDecoder;
  readonly encoder: HpackEncoder;
  readonly budgets: Budgets;
  readonly streams = new StreamTable();
  readonly closed = new ClosedStreams();
  /** As of the event that is being handled. */
  nowMs: number;
  isFailed = false;

  /** What the peer may send on the connection, and what it is owed. */
  receiveWindowBytes: number;
  creditBytes = 0;
  /** The highest stream of the peer that we have seen; how many of them are open. */
  lastPeerStreamId = 0;
  peerStreams = 0;
  nextLocalStreamId: number;
  localStreams = 0;

  /** The peer's settings. */
  peerMaxFrameBytes = MIN_MAX_FRAME_BYTES;
  peerInitialWindowBytes = DEFAULT_WINDOW_BYTES;
  peerMaxStreams = Number.POSITIVE_INFINITY;
  isPeerSettled = false;
  isSettingsAcked = false;

  sendWindowBytes = DEFAULT_WINDOW_BYTES;
  /** In the queues of all streams. */
  queuedBytes = 0;
  /** Since the peer was last given window updates for them. */
  dataFramesSent = 0;
  readyHead: Stream | undefined = undefined;
  readyTail: Stream | undefined = undefined;
  isOpenerWaiting = false;

  /** The last stream that our GOAWAY lets through. */
  goawayStreamId = Number.POSITIVE_INFINITY;
  isGoawayReceived = false;
  isDraining = false;
  readonly drain = new Drain();
  readonly keepalive: Keepalive;
  isExhausted = false;
  idleSinceMs: number;
  readonly startedMs: number;
  stallCheckedMs: number;

  readonly #growth: WindowGrowth;
  #lastFound: Stream | undefined = undefined;

  constructor(options: ConnectionOptions, handler: ConnectionHandler, nowMs: number) {
    this.options = options;
    this.isServer = options.isServer;
    this.limits = options.limits;
    this.handler = handler;
    this.output = new Output(options.pool);
    const maxListBytes = options.limits.headerListBytes;
    this.decoder = new HpackDecoder({ ...DEFAULT_HEADER_LIMITS, maxListBytes });
    this.encoder = new HpackEncoder();
    this.budgets = new Budgets(options.limits, nowMs);
    this.receiveWindowBytes = options.connectionWindowBytes;
    this.#growth = new WindowGrowth(
      options.streamWindowBytes,
      options.mostStreamWindowBytes,
      options.windowGrowthBytes,
    );
    this.nextLocalStreamId = options.isServer ? 2 : 1;
    this.nowMs = nowMs;
    this.keepalive = new Keepalive(options.limits, nowMs);
    this.idleSinceMs = nowMs;
    this.startedMs = nowMs;
    this.stallCheckedMs = nowMs;
  }

  find(id: number): Stream | undefined {
    const last = this.#lastFound;
    if (last !== undefined && last.id === id) return last.isClosed ? undefined : last;
    const found = this.streams.get(id);
    if (found !== undefined) this.#lastFound = found;
    return found;
  }

  /** Neither side has used this id yet. */
  isIdle(id: number): boolean {
    const isOurs = (id & 1) === (this.nextLocalStreamId & 1);
    return isOurs ? id >= this.nextLocalStreamId : id > this.lastPeerStreamId;
  }

  add(id: number): Stream {
    const { streamWindowBytes } = this.options;
    const stream = new Stream(id, streamWindowBytes, this.peerInitialWindowBytes);
    this.streams.add(stream);
    this.#lastFound = stream;
    if (this.#isLocal(id)) this.localStreams += 1;
    else {
      this.peerStreams += 1;
      stream.freeResetMs = Math.ceil(this.nowMs + this.limits.prematureResetMs);
      this.budgets.credit(Budget.LATE_RESETS, 1);
    }
    return stream;
  }

  /** Once END_STREAM went both ways. */
  finish(stream: Stream): void {
    if (stream.isClosed) return;
    if (stream.receiving !== Progress.ENDED || stream.sending !== Progress.ENDED) return;
    this.#remove(stream, Ending.ENDED);
    this.budgets.credit(Budget.RESETS, 1);
    // Who has answered a request whole needs no more of it.
    if (this.isServer) this.#release(stream);
    this.handler.onDone(stream);
    this.tellOpener();
  }

  /** RST_STREAM goes out; the owner is told unless it asked for it. */
  reset(stream: Stream, code: number, why: string, isOwnerTold: boolean): void {
    if (stream.isClosed) return;
    writeReset(this.output, stream.id, code);
    this.#drop(stream, Ending.RESET_BY_US);
    if (isOwnerTold) this.handler.onReset(stream, code, false, why);
    this.tellOpener();
  }

  /** The peer's RST_STREAM, or a stream that its GOAWAY left out. */
  resetByPeer(stream: Stream, code: number, isUnprocessed: boolean, why: string): void {
    this.#drop(stream, Ending.RESET_BY_PEER);
    this.handler.onReset(stream, code, isUnprocessed, why);
    this.tellOpener();
  }

  /** The peer broke a rule of a stream, open or not: RST_STREAM, as often as its budget allows. */
  streamError(id: number, code: number, why: string): void {
    if (!this.spend(Budget.RESETS)) return;
    if (!this.isIdle(id)) this.#countFlow(code);
    const stream = this.find(id);
    if (stream !== undefined) {
      this.reset(stream, code, why, true);
      return;
    }
    if (this.isIdle(id)) {
      this.fail(code, why);
      return;
    }
    writeReset(this.output, id, code);
    this.closed.add(id, Ending.RESET_BY_US);
  }

  /** False once the budget is spent: then the connection has failed. */
  spend(kind: number): boolean {
    if (this.budgets.spend(kind)) return true;
    this.exceed(this.budgets.nameOf(kind));
    return false;
  }

  /** A limit whose crossing ends the connection. */
  exceed(name: LimitName): void {
    if (this.isFailed) return;
    this.handler.onLimit(name);
    this.fail(ErrorCode.ENHANCE_YOUR_CALM, `more than the limit of ${name}`);
  }

  /** Surely not acted on: the peer may send it again. */
  refuseStream(id: number): void {
    writeReset(this.output, id, ErrorCode.REFUSED_STREAM);
    this.closed.add(id, Ending.RESET_BY_US);
  }

  /** An error of the connection: GOAWAY, and every stream is lost. */
  fail(code: number, why: string): void {
    if (this.isFailed) return;
    this.#countFlow(code);
    const last = Math.min(this.lastPeerStreamId, this.goawayStreamId);
    writeGoaway(this.output, last, code, why);
    this.loseAll(code, why);
    this.handler.onFailed(code, why);
  }

  #countFlow(code: number): void {
    if (code === ErrorCode.FLOW_CONTROL_ERROR) this.handler.onLimit('flow_control');
  }

  /** Nothing is read or sent any more; every stream's owner is told. */
  loseAll(code: number, why: string): void {
    this.isFailed = true;
    for (const stream of this.streams.values()) {
      this.#drop(stream, Ending.RESET_BY_US);
      this.handler.onReset(stream, code, false, why);
    }
  }

  /** `bytes` are free: the peer may send as many again, and is told in portions. */
  creditConnection(bytes: number): void {
    this.creditBytes += bytes;
    if (this.creditBytes * 2 < this.options.connectionWindowBytes || this.isFailed) return;
    writeWindowUpdate(this.output, 0, this.creditBytes);
    this.receiveWindowBytes += this.creditBytes;
    this.creditBytes = 0;
  }

  creditStream(stream: Stream, bytes: number): void {
    if (stream.receiving === Progress.ENDED || stream.isClosed) return;
    stream.creditBytes += bytes;
    if (stream.creditBytes * 2 < stream.windowBytes) return;
    const bytesMore = stream.creditBytes + this.#growth.grow(stream);
    writeWindowUpdate(this.output, stream.id, bytesMore);
    stream.receiveWindowBytes += bytesMore;
    stream.creditBytes = 0;
  }

  get canOpen(): boolean {
    return (
      !(this.isFailed || this.isGoawayReceived || this.isDraining) &&
      this.localStreams < Math.min(this.peerMaxStreams, this.limits.openedStreams) &&
      !this.isExhausted
    );
  }

  #isLocal(id: number): boolean {
    return (id & 1) === (this.nextLocalStreamId & 1);
  }

  /** An owner that found no room for a stream hears that there is some. */
  tellOpener(): void {
    if (!this.isOpenerWaiting || !this.canOpen) return;
    this.isOpenerWaiting = false;
    this.handler.onOpenable();
  }

  /** A stream that ends early: what it queued is dropped, what it held is given back. */
  #drop(stream: Stream, ending: number): void {
    stream.isReset = true;
    this.queuedBytes -= stream.dropQueue();
    this.#remove(stream, ending);
    this.#release(stream);
  }

  /** What its owner has not consumed is as good as consumed. */
  #release(stream: Stream): void {
    const held = stream.unconsumedBytes;
    stream.unconsumedBytes = 0;
    if (held > 0) this.creditConnection(held);
  }

  #remove(stream: Stream, ending: number): void {
    stream.isClosed = true;
    this.#growth.release(stream);
    this.streams.delete(stream.id);
    if (this.#lastFound === stream) this.#lastFound = undefined;
    this.closed.add(stream.id, ending);
    if (this.#isLocal(stream.id)) this.localStreams -= 1;
    else this.peerStreams -= 1;
    if (this.streams.size === 0) this.idleSinceMs = this.nowMs;
  }
}
