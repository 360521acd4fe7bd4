// Loads and unloads what the state machine of versions says, and keeps the table that calls are
// answered from in step. The one place where a model's life on a node has effects.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { Code, type StatusError, statusOf } from '../common/status.ts';
import type { CopyRecord } from '../registry/registry.ts';
import { deathReason } from './engines/deaths.ts';
import { markersOf } from './engines/marker.ts';
import { type LoadVersionOptions, loadVersion, type VersionFiles } from './load-version.ts';
import type { LoadModel, ModelFailure } from './loaded-model.ts';
import type { ModelTable, ServedVersion } from './model-table.ts';
import type { Called } from './on-demand.ts';
import type { SideThreads } from './threads/side-threads.ts';
import {
  type Action,
  type Copy,
  type CopyFailure,
  type CopyStatus,
  VERSION_LIMITS,
  Versions,
  type Wanted,
} from './versions.ts';

/** Brings a copy's files to this disk. */
export type FetchCopy = (copy: Copy) => Promise<VersionFiles>;

export interface CopiesOptions {
  readonly table: ModelTable;
  readonly fetch: FetchCopy;
  readonly load: Omit<LoadVersionOptions, 'onFailed'>;
  /** Default: from ONNX files on this disk. */
  readonly loadVersion?: typeof loadVersion;
  /** As VersionLimits.lingerMs. */
  readonly lingerMs: number;
  /** As VersionLimits.memoryLimitBytes. */
  readonly memoryLimitBytes?: number;
  /** Other threads that serve too; undefined: there are none. */
  readonly sideThreads: SideThreads | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** The copies, or what is to be said of them, have changed. */
  readonly onChange: () => void;
  /** A run hangs: its thread can't be ended, so the process is to drain and end. */
  readonly onHung: (error: StatusError) => void;
}

interface HeldCopy {
  readonly served: ServedVersion;
  readonly files: VersionFiles;
}

export class Copies {
  readonly #options: CopiesOptions;
  readonly #versions: Versions;
  readonly #held = new Map<string, HeldCopy>();
  /** Work under way, so that `stop` can wait for it. */
  readonly #running = new Set<Promise<void>>();
  #shown = new Map<string, CopyStatus>();
  #told = '[]';
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(options: CopiesOptions) {
    this.#options = options;
    const { lingerMs, memoryLimitBytes = 0 } = options;
    this.#versions = new Versions({ ...VERSION_LIMITS, lingerMs, memoryLimitBytes });
  }

  /** @param givenUp what the whole cluster does not load any more: that is remembered there now */
  want(wanted: readonly Wanted[], givenUp: () => readonly Copy[] = () => []): void {
    const { quarantine } = this.#options.load;
    const deaths = new Map(quarantine.deaths().map((marker) => [keyOf(marker), marker.deaths]));
    for (const copy of deaths.size === 0 ? [] : givenUp()) {
      if (deaths.has(keyOf(copy))) void this.#forget(copy);
    }
    const admitted = wanted.map((one): Wanted => {
      const isCounted = (deaths.get(keyOf(one)) ?? 0) <= (one.deaths ?? Number.POSITIVE_INFINITY);
      return isCounted ? one : { ...one, isKeptOnly: true };
    });
    this.#perform(this.#versions.want(admitted, this.#nowMs()));
  }

  async #forget({ model, version }: Copy): Promise<void> {
    const { load, log, onChange } = this.#options;
    try {
      await load.quarantine.clear(model, version);
      onChange();
    } catch (error) {
      log.warn({ model, version, err: error }, 'a marker of quarantine could not be removed');
    }
  }

  retry(copy: Copy): void {
    this.#perform(this.#versions.retry(copy, this.#nowMs()));
  }

  /** Whether any version here is loaded on demand. */
  get hasOnDemand(): boolean {
    return this.#versions.hasOnDemand;
  }

  /** A call came: what it meets. A version on demand is loaded if need be. */
  called(model: string, version: number | undefined): Called {
    this.#perform(this.#versions.called(model, version, this.#nowMs()), false);
    return this.#versions.stateOf(model, version);
  }

  /** As `called`, without being a call. */
  stateOf(model: string, version: number | undefined): Called {
    return this.#versions.stateOf(model, version);
  }

  statuses(): readonly CopyStatus[] {
    return this.#versions.statuses();
  }

  /** As the registry is told; also of versions that ended this node's process and are not here. */
  records(): readonly CopyRecord[] {
    const records = this.#versions.records();
    const markers = this.#options.load.quarantine.deaths();
    if (markers.length === 0) return records;
    const left = new Map(markers.map((marker) => [keyOf(marker), marker]));
    const all = records.map((record): CopyRecord => {
      const { deaths } = left.get(keyOf(record)) ?? {};
      left.delete(keyOf(record));
      return deaths === undefined ? record : { ...record, deaths };
    });
    for (const marker of left.values()) {
      const { model, version, manifestSha256, deaths } = marker;
      const reason = deathReason(marker);
      const copy = { model, version, manifestSha256, state: 'FAILED', memoryBytes: 0 } as const;
      all.push({ ...copy, reason, deaths });
    }
    return all;
  }

  /** Requests waiting or running, in all models. */
  get inFlight(): number {
    let sum = 0;
    for (const { served } of this.#held.values()) sum += served.loaded.inFlight;
    return sum;
  }

  /** Stops every model; what is being loaded is waited for. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    const held = [...this.#held.values()];
    this.#held.clear();
    this.#show();
    await Promise.allSettled(held.map((copy) => this.#letGo(copy)));
  }

  #nowMs(): number {
    return this.#options.clock.nowMs();
  }

  #perform(actions: readonly Action[], isNews = true): void {
    if (this.#isStopped || (!isNews && actions.length === 0)) return;
    for (const { kind, copy } of actions) {
      const work = (kind === 'load' ? this.#load(copy) : this.#unload(copy)).finally(() => {
        this.#running.delete(work);
      });
      this.#running.add(work);
    }
    this.#show();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const nextMs = this.#versions.nextMs();
    if (nextMs === undefined) return;
    this.#cancelTimer = this.#options.clock.after(nextMs - this.#nowMs(), () => {
      this.#perform(this.#versions.tick(this.#nowMs()));
    });
  }

  async #load(copy: Copy): Promise<void> {
    const { fetch, load, log } = this.#options;
    const startMs = this.#nowMs();
    let files: VersionFiles | undefined;
    let isQuarantined = false;
    let freed: Promise<void> | undefined;
    const onBusy = (whenFree: Promise<void>): void => {
      freed = whenFree;
    };
    const loadModel: LoadModel = (options) =>
      load.loadModel({ ...options, onBusy }).catch((thrown: unknown) => {
        isQuarantined = statusOf(thrown).code === Code.FAILED_PRECONDITION;
        throw thrown;
      });
    try {
      files = await fetch(copy);
      const onFailed = (failure: ModelFailure): void => this.#failed(copy, failure);
      const open = this.#options.loadVersion ?? loadVersion;
      const quarantine = markersOf(load.quarantine, copy.manifestSha256);
      const loaded = await open(files, { ...load, quarantine, loadModel, onFailed });
      const served = await this.#loadBeside(copy, loaded);
      this.#held.set(keyOf(copy), { served, files });
      const tookMs = Math.round(this.#nowMs() - startMs);
      const { way, wayReason } = served.statistics;
      const level = way === 'inline_public' ? 'warn' : 'info';
      log[level]({ ...copyOf(copy), tookMs, way, wayReason }, 'model version loaded');
      this.#perform(this.#versions.loaded(copy, served.memoryBytes, this.#nowMs()));
    } catch (thrown) {
      files?.release();
      const error = statusOf(thrown);
      const outlook = isQuarantined
        ? 'quarantined'
        : freed
          ? 'busy'
          : outlookOf(error, files !== undefined);
      const failure = { reason: error.message, outlook };
      log.warn({ ...copyOf(copy), ...failure }, 'model load failed');
      this.#perform(this.#versions.loadFailed(copy, failure, this.#nowMs()));
      void freed?.then(() => this.#freed(copy));
    }
  }

  /** READY is what every thread that serves knows, and has, where it runs inline. */
  async #loadBeside(copy: Copy, served: ServedVersion): Promise<ServedVersion> {
    const { sideThreads, load } = this.#options;
    // Which one was used last shows where calls come by: on this thread alone.
    if (sideThreads === undefined || this.#versions.isOnDemand(copy)) return served;
    const { loaded, signature, queueTimeout, statistics } = served;
    const key = keyOf(copy);
    let sizeBytes = 0;
    statistics.onWay = (way) => {
      if (way === 'worker') void sideThreads.unload(key);
    };
    try {
      if (loaded.way !== 'worker') {
        const plan = { key, engine: loaded.engine, signature, queueTimeout };
        // The process may end of these loads as well.
        await load.quarantine.arm(copy.model, copy.version, copy.manifestSha256);
        sizeBytes = await sideThreads.load(plan, loaded);
        await load.quarantine.disarm(copy.model, copy.version);
      }
      const weight = this.#versions.statuses().find((one) => keyOf(one) === key)?.weight;
      await sideThreads.announce({ ...copyOf(copy), weight, key });
      return { ...served, memoryBytes: served.memoryBytes + sizeBytes };
    } catch (thrown) {
      statistics.onWay = undefined;
      await sideThreads.unload(key);
      await loaded.stop();
      throw thrown;
    }
  }

  #freed(copy: Copy): void {
    const { model, version } = copy;
    this.#options.log.info({ model, version }, 'the thread of a load that was given up is free');
    this.#perform(this.#versions.freed(copy, this.#nowMs()));
  }

  async #unload(copy: Copy): Promise<void> {
    const { log } = this.#options;
    const held = this.#held.get(keyOf(copy));
    this.#held.delete(keyOf(copy));
    this.#show();
    if (held !== undefined) {
      held.served.statistics.onWay = undefined;
      await this.#options.sideThreads?.unload(keyOf(copy));
      await this.#letGo(held);
    }
    log.info({ model: copy.model, version: copy.version }, 'model version unloaded');
    this.#perform(this.#versions.unloaded(copy, this.#nowMs()));
  }

  async #letGo({ served, files }: HeldCopy): Promise<void> {
    try {
      await served.loaded.stop();
    } catch (error) {
      this.#options.log.error({ err: error }, 'a model did not stop cleanly');
    }
    served.statistics.pending = () => 0;
    served.statistics.way = undefined;
    files.release();
  }

  #failed(copy: Copy, { kind, error }: ModelFailure): void {
    this.#options.log.error({ model: copy.model, version: copy.version, kind }, error.message);
    const outlook = kind === 'HUNG_RUN' ? 'final' : 'retry';
    const failure = { reason: error.message, outlook } as const;
    this.#perform(this.#versions.copyFailed(copy, failure, this.#nowMs()));
    if (kind === 'HUNG_RUN') this.#options.onHung(error);
  }

  /** Brings the table in step; tells when anything changed. */
  #show(): void {
    const { table, onChange } = this.#options;
    const shown = new Map<string, CopyStatus>();
    for (const status of this.#versions.statuses()) {
      // Two contents of one version: the one that serves is shown, else the one that is wanted.
      const key = `${status.model}/${status.version}`;
      const other = shown.get(key);
      if (other === undefined || rankOf(status) > rankOf(other)) shown.set(key, status);
    }
    for (const [key, status] of this.#shown) {
      if (!shown.has(key)) table.remove(status.model, status.version);
    }
    for (const status of shown.values()) {
      const held = status.state === 'READY' ? this.#held.get(keyOf(status)) : undefined;
      const { model, version, state, reason, weight } = status;
      table.set({ model, version, state, reason, weight, served: held?.served });
    }
    this.#shown = shown;
    this.#showBeside(shown);
    const told = JSON.stringify(this.records());
    if (told === this.#told) return;
    this.#told = told;
    onChange();
  }

  #showBeside(shown: ReadonlyMap<string, CopyStatus>): void {
    const { sideThreads } = this.#options;
    if (sideThreads === undefined) return;
    const callable = [...shown.values()].filter((one) => one.state === 'READY');
    sideThreads.show(
      callable
        .filter((one) => this.#held.has(keyOf(one)))
        .map(({ model, version, weight, ...one }) => {
          return { model, version, weight, key: keyOf({ model, version, ...one }) };
        }),
    );
  }
}

function copyOf({ model, version }: Copy): Pick<Copy, 'model' | 'version'> {
  return { model, version };
}

function keyOf({ model, version, manifestSha256 }: Copy): string {
  return `${model}/${version}/${manifestSha256}`;
}

function rankOf({ state, weight }: CopyStatus): number {
  return (state === 'READY' ? 2 : 0) + (weight === undefined ? 0 : 1);
}

/** The model's own faults come again; what keeps its files away is over some time. */
function outlookOf({ code }: StatusError, isFetched: boolean): CopyFailure['outlook'] {
  switch (code) {
    case Code.INVALID_ARGUMENT:
    case Code.UNIMPLEMENTED:
      return 'final';
    default:
      return isFetched ? 'retry' : 'outside';
  }
}
