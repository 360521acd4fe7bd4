// Runs a connection over a socket, plaintext or TLS: its bytes, its backpressure, its clock. All
// that a tick has to send leaves in one write.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type TickEnd, tickEnd } from '../../../common/tick-end.ts';
import { giveRead, READ_BUFFER } from '../../read-memory.ts';
import type { Connection } from '../connection/connection.ts';
import { OUTPUT_BYTES } from '../connection/send-queue.ts';

/** Milliseconds that only go forward; the one clock of a connection. */
export type NowMs = () => number;

/** After GOAWAY, the peer has this long to read it and close; then the socket is destroyed. */
const LINGER_MS = 1_000;
/**
 * The last answers of a connection that ends in order have so long to leave. One that has failed
 * has LINGER_MS: who takes nothing would otherwise keep it, and what it holds, for as long as it
 * likes.
 */
const LAST_ANSWERS_MS = 10_000;
/** What it had sent before it knew is read meanwhile; more is not waited out. */
const LINGER_BYTES = 1_048_576;
/**
 * With so much unsent, nothing more is read: who takes no answers is asked no more questions. It is
 * more than data alone can come to. Two ends that stop reading because each has some data to write
 * would wait for each other without end.
 */
const PAUSE_BYTES = 2 * OUTPUT_BYTES;
/** setTimeout takes no longer ones; the deadline is looked at again then. */
const LONGEST_TIMER_MS = 3_600_000;

let connections = 0;

export class ConnectionSocket {
  readonly #socket: Duplex;
  readonly #connection: Connection;
  readonly #nowMs: NowMs;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isWoken = false;
  #isEnding = false;
  #lingerBytes = LINGER_BYTES;
  /** Time of a peer that was sent GOAWAY to read it. */
  lingerMs = LINGER_MS;
  lastAnswersMs = LAST_ANSWERS_MS;
  /** How long a connection that is done is given; Infinity: it is not done. */
  #endWaitMs = Number.POSITIVE_INFINITY;
  /** Within the connection's calls: what they send is flushed behind them. */
  #isBusy = false;
  readonly #isSocket: boolean;
  /** Hears how much of what was sent the socket, or the peer behind it, has not taken. */
  onUnsent: ((unsentBytes: number) => void) | undefined = undefined;
  #unsentBytes = 0;
  readonly #tickEnd: TickEnd;
  readonly #number = ++connections;
  /** A read of less has left nothing in the socket; 0: there is no telling. */
  readonly #allBelowBytes: number;
  readonly #onTickEnd = (): void => {
    this.#isWoken = false;
    this.flush();
  };

  /** Takes the socket over: bytes that it has read before must have been unshifted. */
  constructor(socket: Duplex, connection: Connection, nowMs: NowMs, atTickEnd = tickEnd) {
    this.#tickEnd = atTickEnd;
    this.#socket = socket;
    this.#connection = connection;
    this.#nowMs = nowMs;
    this.#isSocket = socket instanceof Socket;
    if (socket instanceof Socket) socket.setNoDelay(true);
    // What TLS has decrypted comes in several pieces.
    const isPlain = socket instanceof Socket && !(socket instanceof TLSSocket);
    this.#allBelowBytes = isPlain ? READ_BUFFER.length : 0;
    socket.on('data', (chunk: Buffer) => this.#onBytes(chunk, 0, chunk.length));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error) => connection.lost(`the socket failed: ${error.message}`));
    socket.on('end', () => connection.lost('the peer closed the socket'));
    socket.on('close', () => this.#onClose());
    this.flush();
  }

  /** Something was sent outside of the handler's calls: it leaves with the rest of the tick. */
  wake(): void {
    if (this.#isWoken || this.#isBusy) return;
    this.#isWoken = true;
    this.#tickEnd.send(this.#onTickEnd);
  }

  /** Writes what the connection has, as long as the socket takes it. */
  flush(): void {
    const socket = this.#socket;
    if (socket.destroyed || this.#isEnding) return;
    while (!socket.writableNeedDrain && this.#connection.hasOutput) {
      const chunks = this.#connection.take();
      if (chunks.length > 1) socket.cork();
      for (const chunk of chunks) socket.write(chunk);
      if (chunks.length > 1) socket.uncork();
      // Of other streams than sockets, whoever reads them may have what was written.
      this.#connection.settle(this.#isSocket && socket.writableLength === 0);
      if (chunks.length === 0) break;
    }
    this.#noteUnsent(socket.writableLength + this.#connection.unsentBytes);
    if (this.#connection.unsentBytes > PAUSE_BYTES && !this.#connection.isDone) socket.pause();
    if (!this.#connection.isDone) this.#arm();
    else {
      this.#timeEnd();
      if (!this.#connection.hasOutput) this.#end();
    }
  }

  /** Lets open streams end, then closes. */
  drain(): void {
    this.#connection.drain(this.#nowMs());
    this.flush();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** A socket that reads into READ_BUFFER has read so much. */
  read(sizeBytes: number): void {
    giveRead(sizeBytes, this.#onBytes);
  }

  readonly #onBytes = (bytes: Uint8Array, start: number, end: number): void => {
    if (this.#isEnding) {
      this.#lingerBytes -= end - start;
      if (this.#lingerBytes < 0) this.#socket.destroy();
      return;
    }
    this.#isBusy = true;
    this.#tickEnd.beginRead();
    try {
      this.#connection.receive(bytes, this.#nowMs(), start, end);
    } finally {
      this.#isBusy = false;
      this.#tickEnd.endRead(this.#number, end - start < this.#allBelowBytes);
    }
    this.flush();
  };

  #noteUnsent(unsentBytes: number): void {
    if (unsentBytes === this.#unsentBytes) return;
    this.#unsentBytes = unsentBytes;
    this.onUnsent?.(unsentBytes);
  }

  #onDrain(): void {
    this.#socket.resume();
    this.flush();
  }

  #onClose(): void {
    this.#connection.lost('the socket was closed');
    this.#noteUnsent(0);
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(): void {
    this.#isEnding = true;
    this.#socket.end(() => this.#destroyAfter(this.lingerMs));
    this.#socket.resume();
  }

  /** Begins once, and anew where an end in order fails: with less time. */
  #timeEnd(): void {
    const waitMs = this.#connection.isFailed ? this.lingerMs : this.lastAnswersMs;
    if (waitMs >= this.#endWaitMs) return;
    this.#endWaitMs = waitMs;
    this.#destroyAfter(waitMs);
  }

  #destroyAfter(waitMs: number): void {
    if (this.#socket.destroyed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket.destroy(), waitMs);
  }

  /** One timer, moved only when the deadline came nearer: most deadlines pass unneeded. */
  #arm(): void {
    const atMs = this.#connection.deadlineMs();
    if (atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    const waitMs = Math.max(0, Math.ceil(atMs - this.#nowMs()));
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(waitMs, LONGEST_TIMER_MS));
    this.#timer.unref();
  }

  #onTimer(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#connection.onTime(this.#nowMs());
    this.flush();
  }
}
