// What clients are told of when to try again, as gRPC's retries read it (gRFC A6, "Pushback").
import { Overloaded, type StatusError } from '../common/status.ts';
import { type Metadata, NO_METADATA } from './backend.ts';

export const RETRY_PUSHBACK = 'grpc-retry-pushback-ms';

/** Trailers for an error that says when to come again; of others, none. */
export function pushbackOf(error: StatusError): Metadata {
  if (!(error instanceof Overloaded)) return NO_METADATA;
  return [[RETRY_PUSHBACK, String(error.retryAfterMs)]];
}
