// Request bodies that are read into memory: bounded each, and all together, inflated under the same
// bound, and whole within a time.
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import { Code, StatusError, statusOf, unavailable } from '../common/status.ts';
import { HttpError, limitText, tooLarge } from './http-error.ts';
import { BODY_TIMEOUT_MS, MAX_BUFFERED_BODY_BYTES } from './limits.ts';

/** Bytes that all requests hold together. */
export class BodyBudget {
  #heldBytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number = MAX_BUFFERED_BODY_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @throws UNAVAILABLE when others hold too much */
  take(sizeBytes: number): void {
    if (this.#heldBytes + sizeBytes > this.#maxBytes) {
      throw unavailable(
        `too many request bodies at once: together they may hold ${limitText(this.#maxBytes)}; ` +
          'send it again',
      );
    }
    this.#heldBytes += sizeBytes;
  }

  give(sizeBytes: number): void {
    this.#heldBytes -= sizeBytes;
  }
}

/** What one request took of the budget; given back when its answer has gone. */
export class BodyShare {
  readonly #budget: BodyBudget;
  #sizeBytes = 0;

  constructor(budget: BodyBudget) {
    this.#budget = budget;
  }

  take(sizeBytes: number): void {
    this.#budget.take(sizeBytes);
    this.#sizeBytes += sizeBytes;
  }

  release(): void {
    this.#budget.give(this.#sizeBytes);
    this.#sizeBytes = 0;
  }
}

export interface BodyOptions {
  readonly headers: IncomingHttpHeaders;
  readonly maxBytes: number;
  readonly share: BodyShare;
}

export const ACCEPTED_ENCODINGS = 'gzip, deflate';

function bodyTooLarge(maxBytes: number): HttpError {
  return tooLarge(`request body is larger than the limit of ${limitText(maxBytes)}`);
}

function inflated(source: Readable, encoding: string | undefined): Readable {
  const name = (encoding ?? 'identity').trim().toLowerCase();
  if (name === 'identity' || name === '') return source;
  if (name !== 'gzip' && name !== 'deflate') {
    const text = `Unsupported compression type ${JSON.stringify(name.slice(0, 32))}: send gzip`;
    throw new StatusError(Code.UNIMPLEMENTED, `${text}, deflate or none`);
  }
  const inflate = name === 'gzip' ? createGunzip() : createInflate();
  source.on('error', (cause) => inflate.destroy(cause));
  return source.pipe(inflate);
}

/**
 * The body as it was before compression.
 * @throws RESOURCE_EXHAUSTED (413) above maxBytes, UNIMPLEMENTED for an unknown compression,
 * INVALID_ARGUMENT for bad compressed data, DEADLINE_EXCEEDED (408), UNAVAILABLE past the budget
 */
export async function readBody(payload: Readable, options: BodyOptions): Promise<Buffer> {
  const { headers, maxBytes, share } = options;
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw bodyTooLarge(maxBytes);
  const source = inflated(payload, headers['content-encoding']);
  const isInflating = source !== payload;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  return new Promise<Buffer>((resolve, reject) => {
    const stop = (error: StatusError): void => {
      clearTimeout(timer);
      source.off('data', onData);
      if (isInflating) {
        payload.unpipe();
        source.destroy();
      }
      payload.resume();
      reject(error);
    };
    const timer = setTimeout(() => {
      const text = `the request body did not arrive within ${BODY_TIMEOUT_MS / 1000} s`;
      stop(new HttpError(408, Code.DEADLINE_EXCEEDED, text));
    }, BODY_TIMEOUT_MS);
    const onData = (chunk: Buffer): void => {
      sizeBytes += chunk.length;
      try {
        if (sizeBytes > maxBytes) throw bodyTooLarge(maxBytes);
        share.take(chunk.length);
        chunks.push(chunk);
      } catch (thrown) {
        stop(statusOf(thrown));
      }
    };
    source.on('data', onData);
    source.once('end', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks, sizeBytes));
    });
    source.once('error', (cause) => {
      const text = isInflating
        ? `request body is no valid ${headers['content-encoding']}: ${cause.message}`
        : `request body broke off: ${cause.message}`;
      stop(new StatusError(Code.INVALID_ARGUMENT, text, { cause }));
    });
  });
}
