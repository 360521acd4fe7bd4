// Typed access to the catalog over any DocumentStore. What comes out has been checked against its
// kind's schema; what goes in too. Every change is a compare-and-set on the document's revision,
// and those who watch in this process hear of it at once (others look for themselves).
import type { z } from 'zod';
import { prettifyError } from 'zod';
import { Code, hasCode, notFound, StatusError, statusOf } from '../common/status.ts';
import {
  type DocumentStore,
  type ListOptions,
  MAX_LIST_DOCUMENTS,
} from '../stores/documents/documents.ts';
import {
  clusterDoc,
  datasetDoc,
  datasetVersionDoc,
  jobDoc,
  modelDoc,
  trafficDoc,
  versionDoc,
} from './documents.ts';
import { FORMS, type Forms, newestForm, writtenForm } from './forms.ts';

const SCHEMAS = {
  model: modelDoc,
  version: versionDoc,
  dataset: datasetDoc,
  dataset_version: datasetVersionDoc,
  job: jobDoc,
  cluster: clusterDoc,
  traffic: trafficDoc,
} as const;

export type Kind = keyof typeof SCHEMAS;
export type DocOf<K extends Kind> = z.infer<(typeof SCHEMAS)[K]>;

export interface Entry<K extends Kind> {
  readonly key: string;
  /** Changes with every write; what an etag is made of. */
  readonly revision: number;
  readonly doc: DocOf<K>;
}

/** Lost compare-and-sets before an update gives up with ABORTED: somebody writes without pause. */
export const MAX_UPDATE_ATTEMPTS = 50;

export interface ScanOptions<K extends Kind = Kind> {
  /** Only keys that start with it. */
  readonly prefix?: string;
  /** A cheap look at a body before it is checked; what it refuses is passed over. */
  readonly isWanted?: (body: unknown) => boolean;
  /** The document as it was read before at this revision: spares checking it again. */
  readonly known?: (key: string, revision: number) => DocOf<K> | undefined;
  /** Hears of a document that is not valid; without it, such a one ends the scan with its error. */
  readonly onInvalid?: (key: string, error: StatusError) => void;
}

export type CatalogListener = (kind: Kind, key: string) => void;

/** How people call a kind in messages. */
const TITLES: Record<Kind, string> = {
  model: 'model',
  version: 'model version',
  dataset: 'data set',
  dataset_version: 'data set version',
  job: 'job',
  cluster: 'cluster document',
  traffic: 'traffic document',
};

/** `model/0000000000000001`: numbers padded so that keys sort as they do. */
export function versionKey(name: string, version: number): string {
  return `${name}/${String(version).padStart(16, '0')}`;
}

/** As people know it: 'iris/3'. */
function shownKey(key: string): string {
  return key.replace(/\/0+(?=\d)/, '/');
}

/** @throws DATA_LOSS for what is no such document. */
function checkDoc<K extends Kind>(kind: K, key: string, body: unknown): DocOf<K> {
  const parsed = SCHEMAS[kind].safeParse(body);
  if (parsed.success) return parsed.data as DocOf<K>;
  throw new StatusError(
    Code.DATA_LOSS,
    `${TITLES[kind]} '${key}' in the catalog is not valid: ${prettifyError(parsed.error)}`,
  );
}

export class Catalog {
  readonly #store: DocumentStore;
  readonly #forms: Forms;
  readonly #listeners = new Set<CatalogListener>();

  constructor(store: DocumentStore, forms: Forms = FORMS) {
    this.#store = store;
    this.#forms = forms;
  }

  /** @throws FAILED_PRECONDITION for a schema that is too new or too old, DATA_LOSS */
  #parse<K extends Kind>(kind: K, key: string, stored: unknown): DocOf<K> {
    const body = newestForm(this.#forms, kind, `${TITLES[kind]} '${key}'`, stored);
    return checkDoc(kind, key, body);
  }

  async get<K extends Kind>(kind: K, key: string): Promise<Entry<K> | undefined> {
    const found = await this.#store.get(kind, key);
    if (found === undefined) return undefined;
    return { key, revision: found.revision, doc: this.#parse(kind, key, found.body) };
  }

  /** @throws NOT_FOUND */
  async require<K extends Kind>(kind: K, key: string): Promise<Entry<K>> {
    const entry = await this.get(kind, key);
    if (entry === undefined) throw notFound(`${TITLES[kind]} '${shownKey(key)}' is not found`);
    return entry;
  }

  /** One page, ordered by key. */
  async list<K extends Kind>(kind: K, options?: ListOptions): Promise<Entry<K>[]> {
    const found = await this.#store.list(kind, options);
    return found.map(({ key, revision, body }) => ({
      key,
      revision,
      doc: this.#parse(kind, key, body),
    }));
  }

  /** Documents of a kind, ordered by key, read page by page. @throws what `onInvalid` is for. */
  async *scan<K extends Kind>(kind: K, options: ScanOptions<K> = {}): AsyncGenerator<Entry<K>> {
    const { prefix = '', isWanted = () => true, known, onInvalid } = options;
    let after = '';
    for (;;) {
      const page = await this.#store.list(kind, { prefix, after, limit: MAX_LIST_DOCUMENTS });
      for (const { key, revision, body } of page) {
        if (!isWanted(body)) continue;
        let doc: DocOf<K>;
        try {
          doc = known?.(key, revision) ?? this.#parse(kind, key, body);
        } catch (error) {
          if (onInvalid === undefined) throw error;
          onInvalid(key, statusOf(error));
          continue;
        }
        yield { key, revision, doc };
      }
      const last = page.at(-1);
      if (last === undefined || page.length < MAX_LIST_DOCUMENTS) return;
      after = last.key;
    }
  }

  async all<K extends Kind>(kind: K, prefix = ''): Promise<Entry<K>[]> {
    const entries: Entry<K>[] = [];
    for await (const entry of this.scan(kind, { prefix })) entries.push(entry);
    return entries;
  }

  /** @throws ALREADY_EXISTS */
  async create<K extends Kind>(kind: K, key: string, doc: DocOf<K>): Promise<Entry<K>> {
    try {
      return await this.put(kind, key, doc, 0);
    } catch (error) {
      if (!hasCode(error, Code.ABORTED)) throw error;
      const title = `${TITLES[kind]} '${shownKey(key)}'`;
      throw new StatusError(Code.ALREADY_EXISTS, `${title} is there already`);
    }
  }

  /** @throws ABORTED when the stored revision is another. */
  async put<K extends Kind>(
    kind: K,
    key: string,
    doc: DocOf<K>,
    expectedRevision: number,
  ): Promise<Entry<K>> {
    const body = checkDoc(kind, key, doc);
    const stored = writtenForm(this.#forms, kind, body);
    const revision = await this.#store.put(kind, key, stored, expectedRevision);
    this.#tell(kind, key);
    return { key, revision, doc: body };
  }

  /**
   * Applies a change to the document as it is, again when another writer was faster. A change that
   * returns the document it was given writes nothing; one that throws refuses. It only decides; it
   * may read other documents for that.
   * @throws NOT_FOUND, ABORTED after MAX_UPDATE_ATTEMPTS, what `change` throws.
   */
  async update<K extends Kind>(
    kind: K,
    key: string,
    change: (doc: DocOf<K>, entry: Entry<K>) => DocOf<K> | Promise<DocOf<K>>,
  ): Promise<Entry<K>> {
    for (let attempt = 1; ; attempt += 1) {
      const entry = await this.require(kind, key);
      const next = await change(entry.doc, entry);
      if (next === entry.doc) return entry;
      try {
        return await this.put(kind, key, next, entry.revision);
      } catch (error) {
        if (!hasCode(error, Code.ABORTED) || attempt >= MAX_UPDATE_ATTEMPTS) throw error;
      }
    }
  }

  /** @throws ABORTED when the stored revision is another, or nothing is there. */
  async remove(kind: Kind, key: string, expectedRevision: number): Promise<void> {
    await this.#store.remove(kind, key, expectedRevision);
    this.#tell(kind, key);
  }

  /**
   * Removes the document as it is, again when another writer was faster; nothing to do when it is
   * gone. @throws ABORTED after MAX_UPDATE_ATTEMPTS.
   */
  async removeAny(kind: Kind, key: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const found = await this.#store.get(kind, key);
      if (found === undefined) return;
      try {
        return await this.remove(kind, key, found.revision);
      } catch (error) {
        if (!hasCode(error, Code.ABORTED) || attempt >= MAX_UPDATE_ATTEMPTS) throw error;
      }
    }
  }

  /** Called after each change made through this object. The function returned ends it. */
  onChange(listener: CatalogListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(kind: Kind, key: string): void {
    for (const listener of [...this.#listeners]) listener(kind, key);
  }
}
