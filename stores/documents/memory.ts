// Documents in memory: for tests and simulation. Nothing outlives the process.
import { unavailable } from '../../common/status.ts';
import type { Document, DocumentStore, ListOptions } from './documents.ts';
import { bodyText, checkKey, checkRevision, listRange, revisionConflict } from './limits.ts';

interface Held {
  readonly revision: number;
  /** As text: neither writer nor reader can change what is kept. */
  readonly text: string;
}

export class MemoryDocuments implements DocumentStore {
  readonly #kinds = new Map<string, Map<string, Held>>();
  #isClosed = false;

  async get(kind: string, key: string): Promise<Document | undefined> {
    const held = this.#open(kind).get(key);
    return held === undefined ? undefined : documentOf(kind, key, held);
  }

  async put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number> {
    const documents = this.#open(kind);
    checkKey('kind', kind);
    checkKey('key', key);
    checkRevision(expectedRevision, 0);
    const text = bodyText(kind, key, body);
    if ((documents.get(key)?.revision ?? 0) !== expectedRevision) {
      throw revisionConflict(kind, key, expectedRevision);
    }
    const revision = expectedRevision + 1;
    documents.set(key, { revision, text });
    this.#kinds.set(kind, documents);
    return revision;
  }

  async list(kind: string, options?: ListOptions): Promise<readonly Document[]> {
    const documents = this.#open(kind);
    const { prefix, after, limit } = listRange(options);
    return [...documents]
      .filter(([key]) => key.startsWith(prefix) && (after === '' || byCodePoint(key, after) > 0))
      .sort(([a], [b]) => byCodePoint(a, b))
      .slice(0, limit)
      .map(([key, held]) => documentOf(kind, key, held));
  }

  async remove(kind: string, key: string, expectedRevision: number): Promise<void> {
    const documents = this.#open(kind);
    checkRevision(expectedRevision, 1);
    if (documents.get(key)?.revision !== expectedRevision) {
      throw revisionConflict(kind, key, expectedRevision);
    }
    documents.delete(key);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #open(kind: string): Map<string, Held> {
    if (this.#isClosed) throw unavailable('the document store is closed');
    return this.#kinds.get(kind) ?? new Map();
  }
}

function documentOf(kind: string, key: string, held: Held): Document {
  return { kind, key, revision: held.revision, body: JSON.parse(held.text) };
}

/** UTF-8 sorts as code points do; UTF-16, which JavaScript's < compares, does not. */
function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
