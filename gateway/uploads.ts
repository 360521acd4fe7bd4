// Uploads on their way to the blob store: streamed, never whole in memory, a few at a time, cut
// when they grow past their limit or stop coming. What is cut leaves nothing behind: the store
// keeps whole blobs only.
import type { Readable } from 'node:stream';
import { systemClock } from '../common/clock.ts';
import { paced, within } from '../common/paced.ts';
import { Code, StatusError, statusOf, unavailable } from '../common/status.ts';
import type { BlobInfo } from '../stores/blobs/blobs.ts';
import { HttpError, limitText, tooLarge } from './http-error.ts';
import { MAX_CONCURRENT_UPLOADS, MIN_UPLOAD_WINDOW_BYTES, UPLOAD_WINDOW_MS } from './limits.ts';

/** Where uploads go: control's blob listener, or a store of this process. */
export interface BlobSink {
  write(
    source: AsyncIterable<Uint8Array>,
    options: { readonly maxBytes: number },
  ): Promise<BlobInfo>;
}

export interface UploadOptions {
  readonly blobs: BlobSink;
  readonly maxBytes: number;
  /** Default UPLOAD_WINDOW_MS. */
  readonly windowMs?: number;
  readonly maxConcurrent?: number;
}

export interface Uploads {
  readonly maxBytes: number;
  /** Runs `work` in one of the places for uploads. @throws UNAVAILABLE when all are taken */
  within<T>(work: () => Promise<T>): Promise<T>;
  /**
   * @throws RESOURCE_EXHAUSTED (413), DEADLINE_EXCEEDED (408) when next to nothing comes any more,
   * CANCELLED when the client has gone
   */
  store(source: Readable, what: string): Promise<BlobInfo>;
  /** What comes between files. @throws DEADLINE_EXCEEDED (408) when it takes too long */
  soon<T>(coming: Promise<T>, what: string): Promise<T>;
}

export function createUploads(options: UploadOptions): Uploads {
  const { blobs, maxBytes, windowMs = UPLOAD_WINDOW_MS } = options;
  const maxConcurrent = options.maxConcurrent ?? MAX_CONCURRENT_UPLOADS;
  let running = 0;
  return {
    maxBytes,
    within: async (work) => {
      if (running >= maxConcurrent) {
        throw unavailable(`${running} uploads are running, which is the limit: try again later`);
      }
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
      }
    },
    store: async (source, what) => {
      // What ended the stream is told, rather than how the store saw it end.
      let cause: StatusError | undefined;
      const watched = watch(source, { what, maxBytes, windowMs }, (error) => {
        cause = error;
      });
      try {
        return await blobs.write(watched, { maxBytes });
      } catch (thrown) {
        throw cause ?? thrown;
      }
    },
    soon: (coming, what) =>
      within(coming, windowMs, systemClock, () =>
        late(what, new Error(`it did not come within ${windowMs / 1000} s`)),
      ),
  };
}

interface Watch {
  readonly what: string;
  readonly maxBytes: number;
  readonly windowMs: number;
}

async function* watch(
  source: Readable,
  { what, maxBytes, windowMs }: Watch,
  onCut: (error: StatusError) => void,
): AsyncGenerator<Uint8Array> {
  const cut = (error: StatusError): StatusError => {
    onCut(error);
    return error;
  };
  let sizeBytes = 0;
  // The stream stays open when this loop is left: it is the connection that the answer goes out on.
  const chunks = source.iterator({ destroyOnReturn: false });
  const pace = { windowMs, minBytes: MIN_UPLOAD_WINDOW_BYTES };
  const coming = paced(chunks, pace, systemClock);
  try {
    for (;;) {
      const next = await coming.next().catch((thrown: unknown) => {
        throw cut(isLate(thrown) ? late(what, thrown) : brokenOff(what, thrown));
      });
      if (next.done === true) return;
      const chunk = next.value;
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) {
        throw cut(tooLarge(`${what} is larger than the limit of ${limitText(maxBytes)}`));
      }
      yield chunk;
    }
  } finally {
    // Not waited for: behind a chunk that never comes it would wait for ever.
    chunks.return?.().catch(() => undefined);
  }
}

function isLate(thrown: unknown): thrown is StatusError {
  return thrown instanceof StatusError && thrown.code === Code.DEADLINE_EXCEEDED;
}

function late(what: string, { message }: Error): HttpError {
  return new HttpError(408, Code.DEADLINE_EXCEEDED, `${what} is too slow: ${message}`);
}

function brokenOff(what: string, thrown: unknown): StatusError {
  const { message } = statusOf(thrown);
  return new HttpError(400, Code.CANCELLED, `${what} broke off: ${message}`, { cause: thrown });
}
