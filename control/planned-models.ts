// The catalog's models as plans need them, remembered between plans: reading 100,000 documents for
// each change would take longer than planning.
//   - What this process changes, it is told of, and reads again at once.
//   - Of what other processes change an announcement tells no more than that something did: all
//     model documents are looked at before a plan, but only those with another revision are
//     checked and have their versions read. Where a look takes long, it is not made for each
//     plan: see LOOK_SHARE.
//   - With each plan REREAD_MODELS are read again whatever their revision, in turn, and with each
//     new lead all are.
// A model that stayed as it was is the same object as the last time.
import { isDeepStrictEqual } from 'node:util';
import { type Catalog, type Entry, type Kind, versionKey } from '../catalog/catalog.ts';
import type { ModelDoc, VersionDoc } from '../catalog/documents.ts';
import type { Log } from '../common/log.ts';
import type { AssignmentEntry } from '../registry/registry.ts';
import { PLAN_RESYNC_MS } from './leader-state.ts';
import type { PlannedModel } from './plan.ts';

/** A look that takes no longer is made for each plan. */
export const SHORT_LOOK_MS = 200;
/** Looks that take longer fill at most this share of the time; but one each PLAN_RESYNC_MS. */
export const LOOK_SHARE = 0.05;
/** Against changes of versions that left no trace in their model's document. */
export const REREAD_MODELS = 200;
/** More are faster on a store across a network, and take its connections from others. */
const READS_AT_A_TIME = 16;

export interface PlannedModelsOptions {
  readonly catalog: Catalog;
  readonly log: Log;
  readonly nowMs: () => number;
}

export interface ReadModels {
  /** Ordered by name. */
  readonly models: readonly PlannedModel[];
  /** Names of those whose documents can't be read: they keep what they have. */
  readonly unread: ReadonlySet<string>;
}

interface Remembered {
  readonly revision: number;
  readonly planned: PlannedModel;
  /** Numbers of the versions that were asked for, also of those that are not there. */
  readonly numbers: ReadonlySet<number>;
}

type Assigned = Pick<AssignmentEntry, 'model' | 'version'>;

export class PlannedModels {
  readonly #options: PlannedModelsOptions;
  readonly #known = new Map<string, Remembered>();
  #changed = new Set<string>();
  #unread = new Set<string>();
  #list: readonly PlannedModel[] | undefined;
  #epoch = 0;
  #lookAtMs = 0;
  /** Place in the list of the next one to be read again. */
  #turn = 0;

  constructor(options: PlannedModelsOptions) {
    this.#options = options;
  }

  /** A document was written or removed by this process. */
  told(kind: Kind, key: string): void {
    if (kind === 'model') this.#changed.add(key);
    if (kind === 'version') this.#changed.add(key.slice(0, key.lastIndexOf('/')));
  }

  /** @param assigned versions that count as named by their model as long as they are there. */
  async read(assigned: readonly Assigned[], epoch: number): Promise<ReadModels> {
    const changed = this.#changed;
    this.#changed = new Set();
    try {
      await this.#read(assigned, epoch, changed);
    } catch (error) {
      this.#epoch = 0;
      throw error;
    }
    this.#list ??= [...this.#known.values()]
      .map(({ planned }) => planned)
      .sort((a, b) => (a.model.name < b.model.name ? -1 : 1));
    return { models: this.#list, unread: new Set(this.#unread) };
  }

  async #read(
    assigned: readonly Assigned[],
    epoch: number,
    changed: ReadonlySet<string>,
  ): Promise<void> {
    const startMs = this.#options.nowMs();
    const again = this.#takeTurns();
    const isNewLead = epoch !== this.#epoch;
    if (isNewLead) {
      this.#known.clear();
      this.#list = undefined;
    }
    const more = this.#unnamed(assigned);
    if (isNewLead || startMs >= this.#lookAtMs) {
      await this.#look(new Set([...changed, ...again]), more);
      const tookMs = this.#options.nowMs() - startMs;
      const pauseMs = tookMs <= SHORT_LOOK_MS ? 0 : tookMs / LOOK_SHARE;
      this.#lookAtMs = startMs + Math.min(PLAN_RESYNC_MS, pauseMs);
    } else {
      const names = new Set([...changed, ...again, ...more.keys(), ...this.#unread]);
      await inParts([...names], (name) => this.#lookAt(name, more.get(name)));
    }
    this.#epoch = epoch;
  }

  /** Names of those to be read again this time. */
  #takeTurns(): readonly string[] {
    const list = this.#list ?? [];
    if (this.#turn >= list.length) this.#turn = 0;
    const part = list.slice(this.#turn, this.#turn + REREAD_MODELS);
    this.#turn += part.length;
    return part.map(({ model }) => model.name);
  }

  /** Versions that are assigned and that no remembered model has read yet, by model. */
  #unnamed(assigned: readonly Assigned[]): ReadonlyMap<string, readonly number[]> {
    const more = new Map<string, number[]>();
    for (const { model, version } of assigned) {
      if (this.#known.get(model)?.numbers.has(version) === true) continue;
      const list = more.get(model);
      if (list === undefined) more.set(model, [version]);
      else list.push(version);
    }
    return more;
  }

  async #look(
    changed: ReadonlySet<string>,
    more: ReadonlyMap<string, readonly number[]>,
  ): Promise<void> {
    this.#unread.clear();
    const found = new Set<string>();
    const entries = this.#options.catalog.scan('model', {
      onInvalid: (name, error) => this.#complain(name, error),
      known: (name, revision) => {
        const known = this.#known.get(name);
        return known?.revision === revision ? known.planned.model : undefined;
      },
    });
    const news: Entry<'model'>[] = [];
    for await (const entry of entries) {
      const name = entry.key;
      found.add(name);
      const isSame = this.#known.get(name)?.revision === entry.revision && !changed.has(name);
      if (!isSame || more.has(name)) news.push(entry);
    }
    await inParts(news, (entry) => this.#take(entry, more.get(entry.key)));
    for (const name of this.#known.keys()) if (!found.has(name)) this.#forget(name);
  }

  async #lookAt(name: string, more: readonly number[] | undefined): Promise<void> {
    this.#unread.delete(name);
    try {
      const entry = await this.#options.catalog.get('model', name);
      if (entry === undefined) this.#forget(name);
      else await this.#take(entry, more);
    } catch (error) {
      this.#complain(name, error);
    }
  }

  async #take(entry: Entry<'model'>, more: readonly number[] = []): Promise<void> {
    const { doc: model, revision } = entry;
    const before = this.#known.get(model.name)?.numbers ?? [];
    // What was assigned may be so still; the rest is dropped when all is read again.
    const named = [...model.loadedVersions, ...before, ...more, model.servingVersion];
    const numbers = new Set(named.filter((number) => number > 0).sort((a, b) => a - b));
    try {
      const versions = await this.#readVersions(model, numbers);
      const planned = { model, versions };
      const known = this.#known.get(model.name);
      const isSame = known !== undefined && isDeepStrictEqual(known.planned, planned);
      const same = isSame ? known.planned : planned;
      this.#known.set(model.name, { revision, planned: same, numbers });
      if (!isSame) this.#list = undefined;
    } catch (error) {
      this.#complain(model.name, error);
    }
  }

  async #readVersions(model: ModelDoc, numbers: ReadonlySet<number>): Promise<VersionDoc[]> {
    const versions: VersionDoc[] = [];
    for (const number of numbers) {
      const entry = await this.#options.catalog.get('version', versionKey(model.name, number));
      if (entry !== undefined) versions.push(entry.doc);
    }
    return versions;
  }

  #forget(name: string): void {
    if (this.#known.delete(name)) this.#list = undefined;
  }

  #complain(name: string, error: unknown): void {
    this.#forget(name);
    this.#unread.add(name);
    this.#options.log.error({ model: name, err: error }, 'a model in the catalog can not be read');
  }
}

/** So many at a time that a store across a network is not waited for each time. */
async function inParts<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += READS_AT_A_TIME) {
    await Promise.all(all.slice(at, at + READS_AT_A_TIME).map(work));
  }
}
