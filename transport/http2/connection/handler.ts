// What a connection tells its owner. Calls come from within receive(), take() and onTime(), in
// order, after the connection's own state has changed; the owner may send from within them.
import type { HeaderList } from '../hpack/header-list.ts';
import type { LimitName } from './limits.ts';
import type { Stream } from './stream.ts';

export interface ConnectionHandler {
  /** A request, or the final headers of a response. Well-formed by RFC 9113, 8.2 and 8.3. */
  onHeaders(stream: Stream, headers: HeaderList, endStream: boolean): void;
  /**
   * Server: a request with more headers than the limits, to be answered all the same; the list says
   * so in `refusal`, and holds what came before. Without this it is reset.
   */
  onRefused?(stream: Stream, headers: HeaderList, endStream: boolean): void;
  /**
   * Content: `bytes` from `start` to `end`; who keeps them beyond this call asks lasting() for
   * them. The peer sends no more than its windows until the owner calls consume() for them.
   */
  onData(stream: Stream, bytes: Uint8Array, start: number, end: number, endStream: boolean): void;
  /** Trailers: nothing follows. */
  onTrailers(stream: Stream, headers: HeaderList): void;
  /** END_STREAM went both ways: the stream is gone. */
  onDone(stream: Stream): void;
  /**
   * The stream is gone before its end: reset by either side, or lost with its connection.
   * @param code an error code of RFC 9113, 7.
   * @param isUnprocessed the peer has surely not acted on it: it may be tried again elsewhere.
   */
  onReset(stream: Stream, code: number, isUnprocessed: boolean, why: string): void;
  /** What was queued has gone out, after send() had said to wait. */
  onWritable(stream: Stream): void;
  /** Client: a stream can be opened again, after open() had none or settings changed. */
  onOpenable(): void;
  /**
   * The peer takes no new streams; those above `lastStreamId` have been reset as unprocessed.
   * @param debug valid during the call.
   */
  onGoaway(lastStreamId: number, code: number, debug: Uint8Array): void;
  /** The answer to ping(): its 8 bytes start at `at`, valid during the call. */
  onPong(bytes: Uint8Array, at: number): void;
  /** The peer crossed a limit. */
  onLimit(name: LimitName): void;
  /**
   * An error of the connection: every stream has been told, GOAWAY waits to be taken. Send what
   * take() gives, then close the socket.
   */
  onFailed(code: number, why: string): void;
}
