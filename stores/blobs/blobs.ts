// Artifacts, named by the SHA-256 of their bytes: written once, never changed, the same everywhere.

/** The most that one list call returns. */
export const MAX_LIST_BLOBS = 1_000;

export interface BlobInfo {
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface BlobListing extends BlobInfo {
  /** When its content was last given to write(), also when it was there already; ms since 1970. */
  readonly writtenMs: number;
}

export interface BlobRange {
  /** First byte; 0 when absent. Serves to resume. Past the blob's end: OUT_OF_RANGE. */
  readonly startByte?: number;
}

export interface BlobReader {
  /** Undefined: not there. */
  stat(sha256: string): Promise<BlobInfo | undefined>;
  /**
   * @throws NOT_FOUND, also for text that is no hash. The reader verifies the hash, not the
   * store.
   */
  read(sha256: string, range?: BlobRange): AsyncIterable<Uint8Array>;
}

export interface BlobWriteOptions {
  /** Refuses other content with DATA_LOSS; nothing is kept then. */
  readonly expectedSha256?: string;
  /** More than this: RESOURCE_EXHAUSTED naming the limit; nothing is kept. */
  readonly maxBytes: number;
}

export interface BlobStore extends BlobReader {
  /** Streams; never holds the whole. Durable when it resolves; visible only when whole. */
  write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo>;
  /** Removing what is not there is fine. */
  remove(sha256: string): Promise<void>;
  /** Ordered by hash, after `after` ('' for the first); at most `limit`, 1 to MAX_LIST_BLOBS. */
  list(after: string, limit: number): Promise<readonly BlobListing[]>;
  /** Ends writes that are under way with UNAVAILABLE, leaving nothing of them. */
  close(): Promise<void>;
}
