// A request that is no gRPC call, answered in plain HTTP. Its content is read on for a while, so
// that the answer arrives and what is wrong behind it is told too; then it is cut off.
import type { Connection } from '../http2/connection/connection.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import { refusalFields } from './answer-fields.ts';
import type { Due, Slot } from './deadline-wheel.ts';
import type { Route } from './route.ts';

/** A request that goes on behind its refusal is cut off after this. */
export const REFUSAL_LINGER_MS = 5_000;

export class RefusedRequest implements Due {
  readonly deadlineMs: number;
  slot: Slot | undefined = undefined;
  nextDue: Due | undefined = undefined;
  previousDue: Due | undefined = undefined;
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #wake: () => void;

  constructor(connection: Connection, stream: Stream, wake: () => void) {
    this.deadlineMs = connection.nowMs + REFUSAL_LINGER_MS;
    this.#connection = connection;
    this.#stream = stream;
    this.#wake = wake;
  }

  onDue(): void {
    this.#connection.reset(this.#stream, ErrorCode.NO_ERROR);
    this.#wake();
  }
}

/** Answers with what the route says of the refusal. */
export function refuse(connection: Connection, stream: Stream, route: Route): void {
  const { refusal } = route;
  if (refusal === undefined) throw new Error('only what is refused gets a refusal');
  const text = Buffer.from(`${refusal.text}\n`);
  connection.sendHeaders(stream, refusalFields(refusal, text.length), route.isHead);
  if (!route.isHead) connection.sendData(stream, text, true);
}
