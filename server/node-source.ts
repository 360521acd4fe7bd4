// Who says what a node is to hold, and where the files come from: a cluster's registry and blob
// store, or a model repository on this disk.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { Code, StatusError } from '../common/status.ts';
import type { ModelLoad, NodeRecord, Registry } from '../registry/registry.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { diskError, errnoOf } from '../stores/disk-error.ts';
import { replaceDurably } from '../stores/durable-files.ts';
import { VersionCache } from './cache.ts';
import type { Copies, FetchCopy } from './copies.ts';
import { type AssignmentFile, RegistrySource } from './registry-source.ts';
import { ModelRepository } from './repository.ts';
import { createRepositorySource } from './repository-source.ts';
import { ASSIGNED, type RepositoryControl } from './services/repository.ts';

export type NodeSource =
  | {
      readonly kind: 'cluster';
      readonly registry: Registry;
      readonly blobs: BlobReader;
      /** What it tells the cluster of itself, besides its id. */
      readonly node: Omit<NodeRecord, 'schema' | 'state' | 'id'>;
      /** Default DEFAULT_CACHE_BYTES. */
      readonly cacheBytes?: number;
    }
  | { readonly kind: 'repository'; readonly folder: string };

export interface Driver {
  readonly control: RepositoryControl;
  /** What is wanted is known. */
  isSynced(): boolean;
  start(): Promise<void>;
  /** To be called when copies have changed. */
  onChange(): void;
  /** Tells that this node is to get no more calls. */
  drain(): Promise<void>;
  stop(): Promise<void>;
}

/** A source that was looked at and can be used. */
export interface OpenSource {
  readonly fetch: FetchCopy;
  drive(copies: Copies): Driver;
}

export interface SourceOptions {
  readonly id: string;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What is told of the load, for the time since it was last asked. */
  readonly loads: () => Promise<readonly ModelLoad[]>;
}

/** @throws what the disk says when a folder can't be used */
export function openSource(source: NodeSource, options: SourceOptions): Promise<OpenSource> {
  return source.kind === 'repository'
    ? openRepository(source.folder)
    : openCluster(source, options);
}

async function openRepository(folder: string): Promise<OpenSource> {
  const repository = await ModelRepository.open(folder);
  return {
    fetch: (copy) => repository.files(copy),
    drive(copies) {
      const control = createRepositorySource(repository, copies);
      let isScanned = false;
      return {
        control,
        isSynced: () => isScanned,
        async start() {
          await control.start();
          isScanned = true;
        },
        onChange: () => control.onChange(),
        drain: () => Promise.resolve(),
        stop: () => Promise.resolve(),
      };
    },
  };
}

async function openCluster(
  { registry, blobs, node, cacheBytes }: Extract<NodeSource, { kind: 'cluster' }>,
  { id, dataDir, clock, log, loads }: SourceOptions,
): Promise<OpenSource> {
  const folder = join(dataDir, 'cache');
  const limit = cacheBytes === undefined ? {} : { maxBytes: cacheBytes };
  const cache = await VersionCache.open({ folder, blobs, clock, ...limit });
  return {
    fetch: (copy) => fetchFrom(cache, copy),
    drive(copies) {
      const file = assignmentFile(dataDir);
      const about = { ...node, id };
      const options = { registry, node: about, copies, file, clock, log, loads };
      const source = new RegistrySource(options);
      return {
        control: ASSIGNED,
        isSynced: () => source.isSynced,
        start: () => source.start(),
        onChange: () => source.onChange(),
        drain: () => source.drain(),
        stop: () => source.stop(),
      };
    },
  };
}

async function fetchFrom(
  cache: VersionCache,
  { model, version, manifestSha256 }: Parameters<FetchCopy>[0],
): ReturnType<FetchCopy> {
  const { manifest, folder, release } = await cache.acquire(manifestSha256);
  if (manifest.model === model && manifest.version === version) {
    const { configPbtxt, outputs } = manifest;
    const outputRanks = new Map(outputs.map(({ name, shape }) => [name, shape.length]));
    return { model, version, folder, configPbtxt, outputRanks, release };
  }
  release();
  throw new StatusError(
    Code.DATA_LOSS,
    `manifest ${manifestSha256} is of '${manifest.model}' version ${manifest.version}, the ` +
      `assignment gives it to '${model}' version ${version}`,
  );
}

/** Kept so that a restart without the registry serves what was served before. */
function assignmentFile(dataDir: string): AssignmentFile {
  const path = join(dataDir, 'assignment.json');
  return {
    async read() {
      try {
        return await readFile(path, 'utf8');
      } catch (cause) {
        if (errnoOf(cause) === 'ENOENT') return undefined;
        throw diskError(cause, 'read the last assignment', path);
      }
    },
    write: (text) => replaceDurably(path, text),
  };
}
