// The catalog's store: small JSON documents by kind and key, changed by compare-and-set. Four
// verbs, so that sqlite, PostgreSQL, MongoDB and Cassandra can all keep the same promise.

/** Above it: RESOURCE_EXHAUSTED. Large things are blobs. */
export const MAX_DOCUMENT_BYTES = 256 * 1024;
/** The most that one list call returns. */
export const MAX_LIST_DOCUMENTS = 1_000;

export interface Document {
  readonly kind: string;
  readonly key: string;
  /** 1 when made, then grows by at least 1 with each put. */
  readonly revision: number;
  /** JSON: what was put comes back deeply equal. */
  readonly body: unknown;
}

export interface ListOptions {
  /** Only keys that start with it. */
  readonly prefix?: string;
  /** Only keys greater than it (by code point): the last key of the page before. */
  readonly after?: string;
  /** 1 to MAX_LIST_DOCUMENTS, the default. */
  readonly limit?: number;
}

export interface DocumentStore {
  get(kind: string, key: string): Promise<Document | undefined>;
  /**
   * Writes when the stored revision is `expectedRevision` (0: there must be none yet); durable when
   * it resolves. Returns the new revision.
   * @throws ABORTED when the revision is another, RESOURCE_EXHAUSTED when too large or disk full.
   */
  put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number>;
  /** Ordered by key (code points). */
  list(kind: string, options?: ListOptions): Promise<readonly Document[]>;
  /** @throws ABORTED when the revision is another; removing what is not there is one of these. */
  remove(kind: string, key: string, expectedRevision: number): Promise<void>;
  close(): Promise<void>;
}
