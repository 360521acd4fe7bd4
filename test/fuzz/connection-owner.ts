// An owner of a connection for fuzzing: does with streams what a script says, and checks what the
// connection promises its owner: calls in order, each stream ended exactly once, nothing after.

import type { Connection } from '../../transport/http2/connection/connection.ts';
import type { ConnectionHandler } from '../../transport/http2/connection/handler.ts';
import type { LimitName } from '../../transport/http2/connection/limits.ts';
import { Progress, type Stream } from '../../transport/http2/connection/stream.ts';
import { prebuiltBlock } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import type { HeaderList } from '../../transport/http2/hpack/header-list.ts';
import { lasting } from '../../transport/read-memory.ts';

const HEAD = [headerField(':status', '200'), headerField('x-a', 'b')];
const TRAILERS = prebuiltBlock([headerField('grpc-status', '0')]);

interface Seen {
  readonly stream: Stream;
  hasHeaders: boolean;
  isEnded: boolean;
  isOver: boolean;
}

export class ConnectionOwner implements ConnectionHandler {
  /** What happened, in words; onWritable() excepted, as it comes when bytes are taken. */
  readonly events: string[] = [];
  /** The first promise that was broken. */
  broken: string | undefined;
  isFailed = false;
  readonly #script: readonly number[];
  readonly #seen = new Map<number, Seen>();
  #next = 0;
  #connection: Connection | undefined;

  /** @param script numbers, used in turn at each event. */
  constructor(script: readonly number[]) {
    this.#script = script;
  }

  serve(connection: Connection): void {
    this.#connection = connection;
  }

  /** Our own stream: told as one that the peer opened. */
  opened(stream: Stream): void {
    this.#seen.set(stream.id, { stream, hasHeaders: false, isEnded: false, isOver: false });
  }

  /** Streams that we were told of, and not of their end. */
  get open(): readonly Stream[] {
    return [...this.#seen.values()].filter(({ isOver }) => !isOver).map(({ stream }) => stream);
  }

  /** Those that have ended, whose content may still have to be consumed. */
  get over(): readonly Stream[] {
    return [...this.#seen.values()].filter(({ isOver }) => isOver).map(({ stream }) => stream);
  }

  onHeaders(stream: Stream, headers: HeaderList, isEnd: boolean): void {
    this.events.push(`headers ${stream.id} ${isEnd} ${headers.fields.length}`);
    if (!this.#seen.has(stream.id)) this.opened(stream);
    const seen = this.#of(stream, 'headers');
    if (seen?.hasHeaders) this.#break(`headers of stream ${stream.id} came twice`);
    if (seen !== undefined) {
      seen.hasHeaders = true;
      seen.isEnded = isEnd;
    }
    this.#act(stream);
  }

  onData(stream: Stream, bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    this.events.push(`data ${stream.id} ${isEnd} ${end - start}`);
    const seen = this.#of(stream, 'data');
    if (seen !== undefined) {
      if (!seen.hasHeaders) this.#break(`data of stream ${stream.id} before its headers`);
      seen.isEnded = isEnd;
    }
    const connection = this.#connection;
    const choice = this.#choose();
    if (choice % 4 === 0 || stream.sending !== Progress.OPEN) {
      connection?.consume(stream, Math.min(end - start, stream.unconsumedBytes));
    } else if (choice % 4 === 1) connection?.sendData(stream, lasting(bytes, start, end), false);
    this.#act(stream);
  }

  onTrailers(stream: Stream, headers: HeaderList): void {
    this.events.push(`trailers ${stream.id} ${headers.fields.length}`);
    const seen = this.#of(stream, 'trailers');
    if (seen !== undefined) seen.isEnded = true;
    this.#act(stream);
  }

  onDone(stream: Stream): void {
    this.#end(stream, 'done');
  }

  onReset(stream: Stream, code: number, isUnprocessed: boolean, _why: string): void {
    this.#end(stream, `reset ${code} ${isUnprocessed}`);
  }

  onWritable(stream: Stream): void {
    if (stream.isClosed) this.#break(`stream ${stream.id} is writable, and closed`);
    this.#connection?.consume(stream, stream.unconsumedBytes);
  }

  onOpenable(): void {
    this.events.push('openable');
  }

  onGoaway(last: number, code: number): void {
    this.events.push(`goaway ${last} ${code}`);
  }

  onPong(): void {
    this.events.push('pong');
  }

  onLimit(name: LimitName): void {
    this.events.push(`limit ${name}`);
  }

  onFailed(code: number, _why: string): void {
    if (this.isFailed) this.#break('failed twice');
    this.isFailed = true;
    this.events.push(`failed ${code}`);
  }

  #choose(): number {
    const choice = this.#script[this.#next % this.#script.length] ?? 0;
    this.#next += 1;
    return choice;
  }

  #of(stream: Stream, what: string): Seen | undefined {
    const seen = this.#seen.get(stream.id);
    if (this.isFailed) this.#break(`${what} after the connection has failed`);
    if (seen === undefined) this.#break(`${what} of stream ${stream.id}, which is unknown`);
    else if (seen.isOver) this.#break(`${what} of stream ${stream.id}, which is over`);
    else if (seen.isEnded) this.#break(`${what} of stream ${stream.id} behind its end`);
    else if (seen.stream !== stream) this.#break(`stream ${stream.id} is another object`);
    return seen;
  }

  #end(stream: Stream, how: string): void {
    this.events.push(`${how} ${stream.id}`);
    const seen = this.#seen.get(stream.id);
    if (seen === undefined) this.#break(`${how} of stream ${stream.id}, which is unknown`);
    else if (seen.isOver) this.#break(`stream ${stream.id} ends twice, ${how}`);
    else seen.isOver = true;
    if (!stream.isClosed) this.#break(`stream ${stream.id} is over, ${how}, and not closed`);
  }

  #break(what: string): void {
    this.broken ??= what;
  }

  /** Answers, resets or leaves a stream alone, as the script says. */
  #act(stream: Stream): void {
    const connection = this.#connection;
    if (connection === undefined || stream.isClosed) return;
    const choice = this.#choose() % 12;
    if (stream.sending === Progress.NONE) {
      if (choice < 8) connection.sendHeaders(stream, HEAD, choice === 0);
      if (choice > 2 && choice < 8) this.#send(connection, stream, choice);
    } else if (stream.sending === Progress.OPEN) this.#send(connection, stream, choice);
    if (choice === 9) {
      const seen = this.#seen.get(stream.id);
      if (seen !== undefined && !stream.isClosed) {
        connection.reset(stream, 8);
        seen.isOver = true;
      }
    } else if (choice === 10) connection.ping(Buffer.from('fuzzfuzz'));
  }

  #send(connection: Connection, stream: Stream, choice: number): void {
    if (stream.sending !== Progress.OPEN) return;
    if (choice === 3) connection.sendData(stream, Buffer.alloc(100), true);
    else if (choice === 4) connection.sendTrailers(stream, TRAILERS);
    else if (choice === 5) connection.sendData(stream, Buffer.alloc(40_000), false);
    else if (choice === 6) {
      connection.sendData(stream, Buffer.alloc(90_000), false);
      if (stream.sending === Progress.OPEN) connection.sendTrailers(stream, TRAILERS);
    } else if (choice === 7) connection.sendData(stream, Buffer.alloc(0), true);
  }
}
