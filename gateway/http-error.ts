// Errors at the HTTP boundary: a StatusError becomes a status and {"error", "code"}, and so does
// what the HTTP server itself refuses. Nothing else leaves the gateway as an error.
import { Code, codeName, httpStatusOf, StatusError, statusOf } from '../common/status.ts';

/** A StatusError whose HTTP status is not the one of its code. */
export class HttpError extends StatusError {
  readonly httpStatus: number;

  constructor(httpStatus: number, code: Code, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.name = 'HttpError';
    this.httpStatus = httpStatus;
  }
}

export interface ErrorBody {
  /** For people. */
  readonly error: string;
  /** Name of the gRPC code, for programs. */
  readonly code: string;
}

export interface HttpAnswer {
  readonly httpStatus: number;
  readonly body: ErrorBody;
  /** Nobody foresaw it: to be logged with its stack. */
  readonly isUnforeseen: boolean;
}

/** @param limit what was exceeded, with its number: 'request body of 64 MiB' */
export function tooLarge(text: string): HttpError {
  return new HttpError(413, Code.RESOURCE_EXHAUSTED, text);
}

/** 67108864 -> '64 MiB (67108864 bytes)' */
export function limitText(sizeBytes: number): string {
  const mebibytes = sizeBytes / (1024 * 1024);
  return Number.isInteger(mebibytes)
    ? `${mebibytes} MiB (${sizeBytes} bytes)`
    : `${sizeBytes} bytes`;
}

/** RESOURCE_EXHAUSTED is something too large for a limit or a disk, here: no use to try again. */
function statusFor(error: StatusError): number {
  if (error instanceof HttpError) return error.httpStatus;
  return error.code === Code.RESOURCE_EXHAUSTED ? 413 : httpStatusOf(error.code);
}

/** What Fastify and its plugins throw: an error with a status of their own. */
interface ServerError {
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly message?: unknown;
}

const CODE_OF_HTTP: Readonly<Record<number, Code>> = {
  401: Code.UNAUTHENTICATED,
  403: Code.PERMISSION_DENIED,
  404: Code.NOT_FOUND,
  408: Code.DEADLINE_EXCEEDED,
  413: Code.RESOURCE_EXHAUSTED,
  429: Code.RESOURCE_EXHAUSTED,
  431: Code.RESOURCE_EXHAUSTED,
  503: Code.UNAVAILABLE,
};

function foreseen(thrown: unknown): StatusError | undefined {
  if (thrown instanceof StatusError) return thrown;
  if (typeof thrown !== 'object' || thrown === null) return undefined;
  const { statusCode, message } = thrown as ServerError;
  if (typeof statusCode !== 'number') return undefined;
  const isKnown = (statusCode >= 400 && statusCode < 500) || statusCode === 503;
  if (!isKnown) return undefined;
  const code = CODE_OF_HTTP[statusCode] ?? Code.INVALID_ARGUMENT;
  return new HttpError(statusCode, code, String(message), { cause: thrown });
}

/** Anything thrown while a request was handled, as what the client gets. */
export function answerOf(thrown: unknown): HttpAnswer {
  const known = foreseen(thrown);
  const error = known ?? statusOf(thrown);
  return {
    httpStatus: statusFor(error),
    body: { error: error.message, code: codeName(error.code) },
    isUnforeseen: known === undefined,
  };
}
