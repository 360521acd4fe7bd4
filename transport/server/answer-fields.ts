// The header fields that answers begin and end with. Almost all are the same few: those are
// prebuilt, and right in every state of every connection.
import type { Log } from '../../common/log.ts';
import { Code, type StatusError, statusOf } from '../../common/status.ts';
import { type Metadata, NO_METADATA } from '../backend.ts';
import { ACCEPT_ENCODING_FIELD } from '../grpc/encoding.ts';
import { addFields } from '../grpc/metadata.ts';
import type { HttpRefusal } from '../grpc/request-head.ts';
import { OK_TRAILERS, statusFields } from '../grpc/status-fields.ts';
import type { HeadersToSend } from '../http2/connection/stream.ts';
import { prebuiltBlock } from '../http2/hpack/encoder.ts';
import { type HeaderField, headerField } from '../http2/hpack/header-field.ts';

const HEAD_FIELDS: readonly HeaderField[] = [
  headerField(':status', '200'),
  headerField('content-type', 'application/grpc'),
];

export const HEAD = prebuiltBlock(HEAD_FIELDS);
const GZIP_FIELD = headerField('grpc-encoding', 'gzip');
const GZIP_HEAD = prebuiltBlock([...HEAD_FIELDS, GZIP_FIELD]);

/** How an answer begins. @throws StatusError INVALID_ARGUMENT for metadata that can't be fields. */
export function headFields(isGzip: boolean, metadata: Metadata): HeadersToSend {
  if (metadata.length === 0) return isGzip ? GZIP_HEAD : HEAD;
  const fields = isGzip ? [...HEAD_FIELDS, GZIP_FIELD] : [...HEAD_FIELDS];
  addFields(fields, metadata);
  return fields;
}

const OK = prebuiltBlock(OK_TRAILERS);
const ONLY_OK = prebuiltBlock([...HEAD_FIELDS, ...OK_TRAILERS]);

/** The last header fields of a call. Metadata that can't be sent makes it INTERNAL. */
export function lastFields(
  code: Code,
  message: string,
  trailers: Metadata,
  path: string,
  log: Log,
): HeadersToSend {
  if (code === Code.OK && message === '' && trailers.length === 0) return OK;
  try {
    return statusFields(code, message, trailers);
  } catch (thrown) {
    const why = statusOf(thrown).message;
    const text = `${path} answered with metadata that is not allowed: ${why}`;
    log.error(text);
    return statusFields(Code.INTERNAL, text, NO_METADATA);
  }
}

/** The same for a call of which nothing was sent (Trailers-Only). */
export function onlyFields(last: HeadersToSend): HeadersToSend {
  return last instanceof Uint8Array ? ONLY_OK : [...HEAD_FIELDS, ...last];
}

/** All that a call gets that isn't begun. */
export function failedAtOnce(error: StatusError): HeadersToSend {
  const last = statusFields(error.code, error.message, NO_METADATA);
  return [...HEAD_FIELDS, ...last, ACCEPT_ENCODING_FIELD];
}

/** The head of a plain HTTP answer. */
export function refusalFields(refusal: HttpRefusal, lengthBytes: number): readonly HeaderField[] {
  return [
    headerField(':status', String(refusal.httpStatus)),
    headerField('content-type', 'text/plain; charset=utf-8'),
    headerField('content-length', String(lengthBytes)),
  ];
}
