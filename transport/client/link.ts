// One connection to a server, from its first byte to its last: what the connection tells of its
// streams goes to their calls, what it tells of itself to the client.
import type { Clock } from '../../common/clock.ts';
import { Connection } from '../http2/connection/connection.ts';
import type { ConnectionOptions } from '../http2/connection/connection-state.ts';
import type { ConnectionHandler } from '../http2/connection/handler.ts';
import type { LimitName } from '../http2/connection/limits.ts';
import { Progress, type Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import { ConnectionSocket } from '../http2/shell/connection-socket.ts';
import { type Attempt, type DialOptions, dial } from './dial.ts';
import type { Outgoing } from './outgoing.ts';
import type { RequestHeaders } from './request-headers.ts';

/** What a link tells its client; each of the first two comes once at most, one of them surely. */
export interface LinkOwner {
  /** The server takes streams. */
  onConnected(link: Link): void;
  /** It never took any. */
  onFailed(link: Link, why: string): void;
  /** After onConnected(): it takes no more streams; those that are open go on. Comes once. */
  onEnding(link: Link): void;
  /** There may be room for a stream again. */
  onRoom(link: Link): void;
  /** The socket is gone; the last that is heard of the link. */
  onClosed(link: Link): void;
  /** The server crossed a limit. */
  onLimit(name: LimitName): void;
}

export interface LinkOptions {
  readonly target: DialOptions;
  readonly connection: ConnectionOptions;
  readonly headers: RequestHeaders;
}

type Phase = 'dialing' | 'open' | 'ending' | 'closed';

export class Link implements ConnectionHandler {
  readonly connection: Connection;
  readonly headers: RequestHeaders;
  readonly #owner: LinkOwner;
  readonly #attempt: Attempt;
  #shell: ConnectionSocket | undefined;
  #phase: Phase = 'dialing';

  constructor(owner: LinkOwner, clock: Clock, options: LinkOptions) {
    this.#owner = owner;
    this.headers = options.headers;
    this.connection = new Connection(options.connection, this, clock.nowMs());
    this.connection.awaitOpenable();
    this.#attempt = dial(options.target, clock, {
      onSocket: (socket) => {
        this.#shell = new ConnectionSocket(socket, this.connection, () => clock.nowMs());
      },
      onRead: (sizeBytes) => this.#shell?.read(sizeBytes),
      onFailed: (why) => this.#fail(why),
      onClosed: (why) => this.#closed(why),
    });
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** Something was sent: it leaves with the rest of the tick. */
  wake(): void {
    this.#shell?.wake();
  }

  /** Ends a stream early; what of it was not consumed is given back. */
  reset(stream: Stream, code: number): void {
    if (stream.isClosed) this.connection.consume(stream, stream.unconsumedBytes);
    else this.connection.reset(stream, code);
    this.wake();
  }

  /** The answer is whole: what the request would still send is of no use. */
  resetUnsent(stream: Stream): void {
    if (stream.sending !== Progress.ENDED) this.reset(stream, ErrorCode.CANCEL);
  }

  /** Takes no more streams; closes once those that are open have ended. */
  drain(): void {
    if (this.#phase === 'dialing') this.close();
    this.#shell?.drain();
    this.#noteEnding();
  }

  /** At once: open streams are lost. */
  close(): void {
    if (this.#phase === 'dialing') {
      this.#fail('the client was closed');
      return;
    }
    this.connection.fail(ErrorCode.NO_ERROR, 'the client was closed');
    this.#shell?.flush();
  }

  onHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void {
    (stream.context as Outgoing).onHead(headers, endStream);
  }

  onData(stream: Stream, bytes: Uint8Array, start: number, end: number, endStream: boolean): void {
    (stream.context as Outgoing).onData(bytes, start, end, endStream);
  }

  onTrailers(stream: Stream, headers: HeaderList): void {
    (stream.context as Outgoing).onTrailers(headers);
  }

  onDone(_stream: Stream): void {}

  onReset(stream: Stream, code: number, isUnprocessed: boolean, why: string): void {
    const isConnection = this.connection.isFailed;
    (stream.context as Outgoing).onLost(code, isUnprocessed, why, isConnection);
  }

  onWritable(stream: Stream): void {
    (stream.context as Outgoing).onWritable();
  }

  onOpenable(): void {
    if (this.#phase === 'dialing') {
      this.#phase = 'open';
      this.#attempt.settled();
      this.#owner.onConnected(this);
    } else this.#owner.onRoom(this);
  }

  onGoaway(): void {
    this.#noteEnding();
  }

  onPong(): void {}

  onLimit(name: LimitName): void {
    if (name === 'idle_time') this.#noteEnding();
    else this.#owner.onLimit(name);
  }

  onFailed(_code: number, why: string): void {
    if (this.#phase === 'dialing') this.#fail(why);
    else this.#noteEnding();
  }

  #noteEnding(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'ending';
    this.#owner.onEnding(this);
  }

  #fail(why: string): void {
    if (this.#phase !== 'dialing') return;
    this.#phase = 'closed';
    this.#attempt.abort();
    this.#owner.onFailed(this, why);
  }

  #closed(why: string): void {
    if (this.#phase === 'dialing') {
      this.#fail(why);
      return;
    }
    this.#noteEnding();
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#owner.onClosed(this);
  }
}
