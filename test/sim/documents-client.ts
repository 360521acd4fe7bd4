// A process's way to the catalog's store: as over a network, in bounded time. A write that ended
// without an answer may have been done.
import { unavailable } from '../../common/status.ts';
import type { Document, DocumentStore, ListOptions } from '../../stores/documents/documents.ts';
import type { Life } from './machine.ts';
import type { Network } from './network.ts';

export const CATALOG = 'catalog';
/** A statement that takes longer has failed. */
const CALL_TIMEOUT_MS = 3_000;

export class DocumentsClient implements DocumentStore {
  readonly #store: DocumentStore;
  readonly #network: Network;
  readonly #life: Life;

  constructor(store: DocumentStore, network: Network, life: Life) {
    this.#store = store;
    this.#network = network;
    this.#life = life;
  }

  get(kind: string, key: string): Promise<Document | undefined> {
    return this.#ask(() => this.#store.get(kind, key));
  }

  put(kind: string, key: string, body: unknown, expectedRevision: number): Promise<number> {
    return this.#ask(() => this.#store.put(kind, key, body, expectedRevision));
  }

  list(kind: string, options?: ListOptions): Promise<readonly Document[]> {
    return this.#ask(() => this.#store.list(kind, options));
  }

  remove(kind: string, key: string, expectedRevision: number): Promise<void> {
    return this.#ask(() => this.#store.remove(kind, key, expectedRevision));
  }

  async close(): Promise<void> {}

  #ask<T>(ask: () => Promise<T>): Promise<T> {
    const life = this.#life;
    const here = life.machine.name;
    return new Promise<T>((resolve, reject) => {
      const cancel = life.after(CALL_TIMEOUT_MS, () => reject(unavailable('no answer in time')));
      const answer = (take: () => void): void => {
        this.#network.send(CATALOG, here, () => {
          life.arrive(() => {
            cancel();
            take();
          });
        });
      };
      this.#network.send(here, CATALOG, () => {
        ask().then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error)),
        );
      });
    });
  }
}
