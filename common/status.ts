// The one error of the system: a gRPC status code and a message for a person. Each boundary (gRPC,
// HTTP, a store's driver) translates to or from it once; nothing else crosses a boundary.

/** gRPC status codes (grpc/grpc doc/statuscodes.md). */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type CodeName = keyof typeof Code;
export type Code = (typeof Code)[CodeName];

const NAMES = new Map<number, CodeName>(
  Object.entries(Code).map(([name, code]) => [code, name as CodeName]),
);

/** 'NOT_FOUND' for 5; 'UNKNOWN' for a number that gRPC does not define. */
export function codeName(code: number): CodeName {
  return NAMES.get(code) ?? 'UNKNOWN';
}

/** The code of a number from the wire; numbers that gRPC does not define become UNKNOWN. */
export function codeOf(value: number): Code {
  return Code[codeName(value)];
}

/** HTTP status of a code, as in google.rpc.Code's comments (413 is the gateway's own affair). */
const HTTP_STATUS: Record<CodeName, number> = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

export function httpStatusOf(code: Code): number {
  return HTTP_STATUS[codeName(code)];
}

export class StatusError extends Error {
  readonly code: Code;

  /** @param message says what was wrong and what would be right. */
  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StatusError';
    this.code = code;
  }
}

/** Too much at the moment: who may try again is told when. */
export class Overloaded extends StatusError {
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super(Code.UNAVAILABLE, message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Anything thrown, as a StatusError: one stays what it is, another error becomes `fallback`. */
export function statusOf(thrown: unknown, fallback: Code = Code.INTERNAL): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new StatusError(fallback, message, { cause: thrown });
}

export function hasCode(thrown: unknown, code: Code): boolean {
  return thrown instanceof StatusError && thrown.code === code;
}

export function invalidArgument(message: string): StatusError {
  return new StatusError(Code.INVALID_ARGUMENT, message);
}

export function notFound(message: string): StatusError {
  return new StatusError(Code.NOT_FOUND, message);
}

export function unavailable(message: string): StatusError {
  return new StatusError(Code.UNAVAILABLE, message);
}

export function failedPrecondition(message: string): StatusError {
  return new StatusError(Code.FAILED_PRECONDITION, message);
}
