// What S3 and its client say, as ours, translated once. Error codes: "Error responses" of the
// Amazon S3 API reference.
import { Code, StatusError, statusOf } from '../../common/status.ts';

const CODES: Readonly<Record<string, readonly [Code, string]>> = {
  NoSuchBucket: [Code.FAILED_PRECONDITION, 'the bucket is not there: make it'],
  InvalidAccessKeyId: [Code.UNAUTHENTICATED, 'it does not know the access key'],
  SignatureDoesNotMatch: [Code.UNAUTHENTICATED, 'the secret key is not that of the access key'],
  ExpiredToken: [Code.UNAUTHENTICATED, 'the session token has expired'],
  CredentialsProviderError: [
    Code.UNAUTHENTICATED,
    'there are no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role',
  ],
  AccessDenied: [Code.PERMISSION_DENIED, 'the access key may not do that'],
  PermanentRedirect: [Code.FAILED_PRECONDITION, 'the bucket is in another region'],
  AuthorizationHeaderMalformed: [Code.FAILED_PRECONDITION, 'the bucket is in another region'],
  RequestTimeTooSkewed: [Code.FAILED_PRECONDITION, "this machine's clock is wrong"],
  QuotaExceeded: [Code.RESOURCE_EXHAUSTED, 'its quota is used up'],
  XMinioStorageFull: [Code.RESOURCE_EXHAUSTED, 'its disk is full'],
  TimeoutError: [Code.UNAVAILABLE, 'no answer came in time'],
  ECONNREFUSED: [Code.UNAVAILABLE, 'nothing listens there'],
  ECONNRESET: [Code.UNAVAILABLE, 'the connection was lost'],
  EPIPE: [Code.UNAVAILABLE, 'the connection was lost'],
  ENOTFOUND: [Code.UNAVAILABLE, 'the host name is not known'],
  EAI_AGAIN: [Code.UNAVAILABLE, 'the host name cannot be looked up now'],
};

const STATUSES: Readonly<Record<number, readonly [Code, string]>> = {
  301: [Code.FAILED_PRECONDITION, 'the bucket is in another region'],
  401: [Code.UNAUTHENTICATED, 'it refuses the keys'],
  403: [Code.PERMISSION_DENIED, 'it refuses the keys, or they may not do that'],
  // Of a blob it is asked before: what else is not there is the bucket.
  404: [Code.FAILED_PRECONDITION, 'the bucket is not there: make it'],
  429: [Code.UNAVAILABLE, 'it has too much to do'],
  507: [Code.RESOURCE_EXHAUSTED, 'its disk is full'],
};

/** @param doing to be read after "cannot": 'read a blob at s3://...' */
export function s3Error(thrown: unknown, doing: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const status = httpStatusOf(thrown);
  const known = knownOf(thrown) ?? STATUSES[status];
  const [code, why] = known ?? [
    status >= 500 ? Code.UNAVAILABLE : Code.INTERNAL,
    `${nameOf(thrown)}: ${statusOf(thrown).message.slice(0, 200)}`,
  ];
  return new StatusError(code, `cannot ${doing}: ${why}`, { cause: thrown });
}

function knownOf(thrown: unknown): readonly [Code, string] | undefined {
  // Each address of a name failed on its own.
  if (thrown instanceof AggregateError) return knownOf(thrown.errors[0]);
  if (!(thrown instanceof Error)) return undefined;
  if (Object.hasOwn(CODES, thrown.name)) return CODES[thrown.name];
  if ('code' in thrown && typeof thrown.code === 'string') return CODES[thrown.code];
  return undefined;
}

export function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : '';
}

/** 0: no answer came. */
export function httpStatusOf(thrown: unknown): number {
  if (!(thrown instanceof Error) || !('$metadata' in thrown)) return 0;
  const metadata = thrown.$metadata;
  if (!(metadata instanceof Object) || !('httpStatusCode' in metadata)) return 0;
  return Number(metadata.httpStatusCode ?? 0);
}
