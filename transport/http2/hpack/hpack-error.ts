// What ends a connection from inside HPACK: after it the two dynamic tables no longer agree.

/**
 * COMPRESSION_ERROR: the block can't be decoded (RFC 9113, 4.3). ENHANCE_YOUR_CALM: it can, but
 * asks for far more work than any honest peer would.
 */
export type HpackErrorCode = 'COMPRESSION_ERROR' | 'ENHANCE_YOUR_CALM';

/** A connection error: GOAWAY with `code`, and no further block may be decoded. */
export class HpackError extends Error {
  readonly code: HpackErrorCode;

  constructor(message: string, code: HpackErrorCode = 'COMPRESSION_ERROR') {
    super(message);
    this.name = 'HpackError';
    this.code = code;
  }
}
