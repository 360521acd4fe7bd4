// PostgreSQL's errors as ours, translated once. SQLSTATE: Appendix A of PostgreSQL's manual.
import { Code, StatusError, statusOf } from '../../common/status.ts';

/** By SQLSTATE or Node's code; what is not named here falls to its class, the first two letters. */
const CODES: Readonly<Record<string, readonly [Code, string]>> = {
  '08': [Code.UNAVAILABLE, 'the connection was lost'],
  '25006': [Code.UNAVAILABLE, 'the server only reads: it is a standby, or is being switched over'],
  '25P03': [Code.UNAVAILABLE, 'this process stood still for too long in a transaction'],
  '28': [Code.UNAUTHENTICATED, 'it refuses the user or the password'],
  '3D000': [Code.FAILED_PRECONDITION, 'the database is not there: make it with createdb'],
  '40': [Code.UNAVAILABLE, 'another transaction was in the way: try again'],
  '42501': [Code.PERMISSION_DENIED, 'the user may not do that in this database'],
  '42P01': [Code.FAILED_PRECONDITION, 'its table is gone: restore it from a backup'],
  '53': [Code.UNAVAILABLE, 'the server has no connection or memory left'],
  '53100': [Code.RESOURCE_EXHAUSTED, "the server's disk is full"],
  '54': [Code.INVALID_ARGUMENT, 'it is more than PostgreSQL takes: send less at once'],
  '57014': [Code.UNAVAILABLE, 'it took longer than a statement may'],
  '57': [Code.UNAVAILABLE, 'the server is stopping or starting'],
  '58': [Code.UNAVAILABLE, "the server's machine fails"],
  XX: [Code.DATA_LOSS, 'the server reports damaged data'],
  ECONNREFUSED: [Code.UNAVAILABLE, 'nothing listens there'],
  ECONNRESET: [Code.UNAVAILABLE, 'the connection was lost'],
  EPIPE: [Code.UNAVAILABLE, 'the connection was lost'],
  ENOTFOUND: [Code.UNAVAILABLE, 'the host name is not known'],
  EAI_AGAIN: [Code.UNAVAILABLE, 'the host name cannot be looked up now'],
  EHOSTUNREACH: [Code.UNAVAILABLE, 'the host cannot be reached'],
  ENETUNREACH: [Code.UNAVAILABLE, 'the host cannot be reached'],
  ETIMEDOUT: [Code.UNAVAILABLE, 'the host does not answer'],
};

/** What the driver says in words only. */
const WORDS: readonly (readonly [RegExp, Code, string])[] = [
  [/^Query read timeout/, Code.UNAVAILABLE, 'no answer came in time'],
  [/^timeout exceeded/, Code.UNAVAILABLE, 'no connection was free in time'],
  [/connection timeout/i, Code.UNAVAILABLE, 'no connection was made in time'],
  [/^Connection terminated/, Code.UNAVAILABLE, 'the connection was lost'],
  [/not queryable/, Code.UNAVAILABLE, 'the connection was lost'],
  [/calling end on the pool/, Code.UNAVAILABLE, 'the store is closed'],
  [/SASL|password must be/, Code.UNAUTHENTICATED, 'it wants a password that it was not given'],
  [
    /does not support SSL/,
    Code.FAILED_PRECONDITION,
    'the server speaks no TLS: set it up there, or say sslmode=disable where the network is safe',
  ],
];

/** Of Node's TLS: which certificate was not accepted, and why. */
const TLS_CODE = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

/** @param doing to be read after "cannot": 'read the catalog at postgres://...' */
export function postgresError(thrown: unknown, doing: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const [code, why] = knownOf(thrown) ?? [Code.INTERNAL, statusOf(thrown).message];
  return new StatusError(code, `cannot ${doing}: ${why}`, { cause: thrown });
}

function knownOf(thrown: unknown): readonly [Code, string] | undefined {
  // Each address of a name failed on its own.
  if (thrown instanceof AggregateError) return knownOf(thrown.errors[0]);
  if (!(thrown instanceof Error)) return undefined;
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  const known = CODES[code] ?? (/^[0-9A-Z]{5}$/.test(code) ? CODES[code.slice(0, 2)] : undefined);
  if (known !== undefined) return known;
  if (TLS_CODE.test(code)) {
    return [Code.FAILED_PRECONDITION, `its TLS certificate is not accepted: ${thrown.message}`];
  }
  const words = WORDS.find(([pattern]) => pattern.test(thrown.message));
  return words && [words[1], words[2]];
}

/** The connection broke off under the statement, which a read may simply send once more. */
export function isBrokenOff(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const code = 'code' in thrown ? thrown.code : '';
  return (
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    code === '57P01' ||
    /^Connection terminated unexpectedly|not queryable/.test(thrown.message)
  );
}

/** A table that was read is not there; `thrown` is the driver's or ours of it. */
export function isTableGone(thrown: unknown): boolean {
  if (thrown instanceof StatusError) return isTableGone(thrown.cause);
  return thrown instanceof Error && 'code' in thrown && thrown.code === '42P01';
}
