// Which model versions this node knows and which it can serve: what every call looks its model up
// in. Who loads and unloads writes it; services only read.

import { parseVersion, requestForUnknownModel } from '../common/names.ts';
import { Code, notFound, StatusError } from '../common/status.ts';
import type { QueueTimeout } from '../model/config/batching.ts';
import type { ModelConfig } from '../proto/gen/inference/model_config.ts';
import type { CopyState } from '../registry/registry.ts';
import type { ServedSignature } from './infer/signature.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { VersionStatistics } from './statistics.ts';

/** A version as calls need it. */
export interface CallableVersion {
  readonly signature: ServedSignature;
  readonly loaded: LoadedModel;
  readonly statistics: VersionStatistics;
  readonly queueTimeout: QueueTimeout;
}

/** A version that can be called. */
export interface ServedVersion extends CallableVersion {
  /** Complete: what ModelConfig answers. */
  readonly config: ModelConfig;
  /** On all threads that have it. */
  readonly memoryBytes: number;
}

export interface VersionStatus<Served = ServedVersion> {
  readonly model: string;
  readonly version: number;
  readonly state: CopyState | 'UNAVAILABLE';
  /** Why it is not READY; '' else. */
  readonly reason: string;
  /**
   * Its share of the calls that name no version; 0: by its number only. Undefined: nobody wants it
   * any more, it serves until what replaces it is READY.
   */
  readonly weight: number | undefined;
  /** There exactly while the version takes calls. */
  readonly served: Served | undefined;
}

/**
 * The version for calls that name none: the largest share, then the newest; where none with a
 * share is up, the newest of those that are being replaced.
 */
function defaultVersion<Served>(
  versions: Iterable<VersionStatus<Served>>,
): VersionStatus<Served> | undefined {
  let best: VersionStatus<Served> | undefined;
  let bestRank = 0;
  for (const status of versions) {
    if (status.served === undefined || status.weight === 0) continue;
    const rank = status.weight ?? Number.MIN_VALUE;
    const isBetter =
      rank > bestRank || (rank === bestRank && status.version > (best?.version ?? 0));
    if (!isBetter) continue;
    best = status;
    bestRank = rank;
  }
  return best;
}

interface KnownModel<Served> {
  readonly versions: Map<number, VersionStatus<Served>>;
  byDefault: Served | undefined;
}

export class ModelTable<Served = ServedVersion> {
  readonly #models = new Map<string, KnownModel<Served>>();
  #generation = 0;

  /** Another number after each change: what was found before may not be found again. */
  get generation(): number {
    return this.#generation;
  }

  set(status: VersionStatus<Served>): void {
    this.#generation += 1;
    let known = this.#models.get(status.model);
    if (known === undefined) {
      known = { versions: new Map(), byDefault: undefined };
      this.#models.set(status.model, known);
    }
    known.versions.set(status.version, status);
    known.byDefault = defaultVersion(known.versions.values())?.served;
  }

  remove(model: string, version: number): void {
    this.#generation += 1;
    const known = this.#models.get(model);
    if (known === undefined) return;
    known.versions.delete(version);
    known.byDefault = defaultVersion(known.versions.values())?.served;
    if (known.versions.size === 0) this.#models.delete(model);
  }

  /**
   * @param versionText digits, or '' for the default version
   * @throws INVALID_ARGUMENT for text that is no version; NOT_FOUND; UNAVAILABLE when the version
   * is known but not ready.
   */
  find(model: string, versionText: string): Served {
    const version = parseVersion(versionText);
    const known = this.#models.get(model);
    if (known === undefined) throw notFound(`${requestForUnknownModel(model)} is not found`);
    if (version === undefined) {
      if (known.byDefault !== undefined) return known.byDefault;
      throw notFound(`${requestForUnknownModel(model)} has no available versions`);
    }
    const status = known.versions.get(version);
    if (status === undefined) {
      throw notFound(`${requestForUnknownModel(model)} version ${version} is not found`);
    }
    if (status.served !== undefined) return status.served;
    const why = status.reason === '' ? '' : ` (${status.state}: ${status.reason})`;
    throw new StatusError(
      Code.UNAVAILABLE,
      `${requestForUnknownModel(model)} version ${version} is not at ready state${why}`,
    );
  }

  /** @throws INVALID_ARGUMENT for text that is no version, and nothing else. */
  isReady(model: string, versionText: string): boolean {
    const version = parseVersion(versionText);
    const known = this.#models.get(model);
    if (version === undefined) return known?.byDefault !== undefined;
    return known?.versions.get(version)?.served !== undefined;
  }

  /** Versions that can be called, in order. */
  readyVersions(model: string): readonly number[] {
    return [...(this.#models.get(model)?.versions.values() ?? [])]
      .filter(({ served }) => served !== undefined)
      .map(({ version }) => version)
      .sort((a, b) => a - b);
  }

  /** Everything known, ordered by model, then version. */
  statuses(): readonly VersionStatus<Served>[] {
    return [...this.#models.values()]
      .flatMap(({ versions }) => [...versions.values()])
      .sort((a, b) => (a.model < b.model ? -1 : a.model > b.model ? 1 : a.version - b.version));
  }
}
