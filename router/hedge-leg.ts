// The second sending of a call whose bytes are passed on. Until its answer begins it is by itself,
// and comes to nothing if it fails; from then on it is the call's one and only, and all it hears
// goes there.
import { Code, StatusError } from '../common/status.ts';
import { lossOf } from '../transport/client/outgoing.ts';
import { messagePrefix, PREFIX_BYTES } from '../transport/grpc/message-prefix.ts';
import { readCode, readOutcome } from '../transport/grpc/status-fields.ts';
import type { HeaderField } from '../transport/http2/hpack/header-field.ts';
import type { RawCaller, RawRequest } from '../transport/raw-call.ts';
import type { PassedRequest } from './passed-request.ts';

/** The call that it is of. */
export interface HedgedCall extends RawCaller {
  /** This sending answers before the other. */
  hedgeAnswers(): void;
  hedgeFails(error: StatusError): void;
}

export class HedgeLeg implements RawCaller {
  out: RawRequest | undefined = undefined;
  /** It is the call's only sending. */
  isFirst = false;
  readonly #call: HedgedCall;

  constructor(call: HedgedCall) {
    this.#call = call;
  }

  onAnswerHeaders(fields: readonly HeaderField[], isEnd: boolean): void {
    const code = isEnd ? (readCode(fields) ?? Code.UNKNOWN) : Code.OK;
    if (!this.isFirst && code !== Code.OK) {
      this.#call.hedgeFails(readOutcome(fields, 200).error ?? new StatusError(code, ''));
      return;
    }
    if (!this.isFirst) this.#call.hedgeAnswers();
    this.#call.onAnswerHeaders(fields, isEnd);
  }

  onAnswerData(bytes: Uint8Array, start: number, end: number): void {
    this.#call.onAnswerData(bytes, start, end);
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.#call.onAnswerTrailers(fields);
  }

  onAnswerLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void {
    if (this.isFirst) this.#call.onAnswerLost(code, isUnprocessed, why, isConnection);
    else this.#call.hedgeFails(lossOf('', code, isUnprocessed, why, isConnection, false));
  }

  onRequestWritable(): void {
    if (this.isFirst) this.#call.onRequestWritable();
  }
}

/** A request that is whole and kept, with what is to be put behind its message. */
export function sendWhole(out: RawRequest, request: PassedRequest, suffix: Uint8Array): void {
  const { pieces } = request;
  const hasSuffix = suffix.length > 0;
  if (hasSuffix) out.sendData(messagePrefix(request.messageBytes + suffix.length), false);
  for (const [at, piece] of pieces.entries()) {
    const isLast = !hasSuffix && at === pieces.length - 1;
    out.sendData(hasSuffix && at === 0 ? piece.subarray(PREFIX_BYTES) : piece, isLast);
  }
  if (hasSuffix) out.sendData(suffix, true);
}
