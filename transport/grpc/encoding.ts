// Which encodings of messages there are (gRPC over HTTP/2, Message-Encoding and
// Message-Accept-Encoding), and what to answer to others.
import { Code, StatusError } from '../../common/status.ts';
import { headerField } from '../http2/hpack/header-field.ts';

export type Encoding = 'identity' | 'gzip';

const ENCODINGS: readonly Encoding[] = ['identity', 'gzip'];
const MAX_SHOWN_CHARACTERS = 20;

/** Goes with every answer that refuses an encoding, and may go with any. */
export const ACCEPT_ENCODING_FIELD = headerField('grpc-accept-encoding', ENCODINGS.join(','));

/**
 * The encoding that grpc-encoding names; without one it is identity.
 * @throws StatusError UNIMPLEMENTED for one that is not there: answer with ACCEPT_ENCODING_FIELD.
 */
export function encodingOf(name: string | undefined): Encoding {
  if (name === undefined) return 'identity';
  const found = ENCODINGS.find((encoding) => encoding === name);
  if (found !== undefined) return found;
  const shown = JSON.stringify(name.slice(0, MAX_SHOWN_CHARACTERS));
  const text = `grpc-encoding ${shown} is not supported, ${ENCODINGS.join(' and ')} are`;
  throw new StatusError(Code.UNIMPLEMENTED, text);
}

/** Whether a list as in grpc-accept-encoding has `encoding`; identity always is. */
export function accepts(encoding: Encoding, list: string | undefined): boolean {
  if (encoding === 'identity') return true;
  return list?.split(',').some((name) => name.trim() === encoding) ?? false;
}

/**
 * A message came with its compressed flag set.
 * @throws StatusError INTERNAL when the call named no encoding (gRPC over HTTP/2, Compressed-Flag).
 */
export function checkMayBeCompressed(encoding: Encoding): void {
  if (encoding !== 'identity') return;
  const text = 'a message is marked compressed, but grpc-encoding names no compression';
  throw new StatusError(Code.INTERNAL, text);
}
