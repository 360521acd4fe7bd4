// The status of a call in its trailers (gRPC over HTTP/2, Trailers), written and read.
import { Code, codeOf, StatusError, statusOf } from '../../common/status.ts';
import type { Metadata } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { codeOfHttpStatus } from './http-status.ts';
import { addFields, fromFields } from './metadata.ts';
import { decodeStatusMessage, encodeStatusMessage } from './percent.ts';

/** The application's own detail of an error: a google.rpc.Status. Rides in trailers as metadata. */
export const STATUS_DETAILS = 'grpc-status-details-bin';

/** Trailers of a call that ended well and says no more: all of them, almost always. */
export const OK_TRAILERS: readonly HeaderField[] = [headerField('grpc-status', '0')];

/** @throws StatusError INVALID_ARGUMENT when `trailers` can't be header fields. */
export function statusFields(code: Code, message: string, trailers: Metadata): HeaderField[] {
  const fields = [headerField('grpc-status', String(code))];
  if (message !== '') fields.push(headerField('grpc-message', encodeStatusMessage(message)));
  addFields(fields, trailers);
  return fields;
}

/** How a call ended, as its trailers (or headers, when nothing else came) say. */
export interface Outcome {
  /** Undefined: well. */
  readonly error: StatusError | undefined;
  readonly trailers: Metadata;
}

/**
 * Reads trailers; never fails: what can't be read makes the outcome an error.
 * @param httpStatus that of the response's headers, for when there is no grpc-status.
 */
export function readOutcome(fields: readonly HeaderField[], httpStatus: number): Outcome {
  let status: string | undefined;
  let message = '';
  for (const { name, value } of fields) {
    if (name === 'grpc-status') status ??= value;
    else if (name === 'grpc-message') message = decodeStatusMessage(value);
  }
  let error: StatusError | undefined;
  if (status === undefined) {
    const text = `answered with HTTP status ${httpStatus} and without grpc-status`;
    error = new StatusError(codeOfHttpStatus(httpStatus), text);
  } else if (status !== '0') {
    error = new StatusError(codeOfText(status), message);
  }
  try {
    return { error, trailers: fromFields(fields) };
  } catch (thrown) {
    return { error: error ?? statusOf(thrown), trailers: NO_METADATA };
  }
}

/** The code alone, of headers or trailers that end a call; undefined: they have no grpc-status. */
export function readCode(fields: readonly HeaderField[]): Code | undefined {
  for (const { name, value } of fields) {
    if (name === 'grpc-status') return value === '0' ? Code.OK : codeOfText(value);
  }
  return undefined;
}

/** What is no number from 1, or one that gRPC does not define, is UNKNOWN. */
function codeOfText(text: string): Code {
  return /^[1-9]\d?$/.test(text) ? codeOf(Number(text)) : Code.UNKNOWN;
}
