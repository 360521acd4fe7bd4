// What control, ingest and trainer have in common: the stores of the cluster, each at its address,
// and the word to the others when something in the catalog has changed.
import { Catalog } from '../../catalog/catalog.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { openRegistry } from '../../registry/open.ts';
import type { Registry } from '../../registry/registry.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openBlobs } from '../../stores/blobs/open.ts';
import type { DatasetStore } from '../../stores/datasets/datasets.ts';
import { openDatasets } from '../../stores/datasets/open.ts';
import { openDocuments } from '../../stores/documents/open.ts';
import { controlPeer } from './control-peer.ts';
import { type Reachable, watchReachable } from './reachable.ts';
import type { RoleContext } from './role-process.ts';

/** A hint for control, whose leader plans at any announcement. */
const CATALOG_TOPIC = 'catalog';
/** Changes within so long are one announcement. */
const ANNOUNCE_PAUSE_MS = 50;

export interface SharedStores {
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly datasets: DatasetStore;
  readonly reachable: Reachable;
}

/** What is away does not keep the role from starting. @throws for what is wrong with an address */
export async function openSharedStores(
  context: RoleContext<'control' | 'ingest' | 'trainer'>,
): Promise<SharedStores> {
  const { settings, log, closers } = context;
  const clock = systemClock;
  const registry = openRegistry(settings.registry, { clock, log });
  closers.add('registry', () => registry.close());
  const documents = await openDocuments(settings.catalog, { mayBeAway: true });
  closers.add('catalog', () => documents.close());
  const blobs = await openBlobs(settings.blobs, {
    registry: settings.registry,
    mayBeAway: true,
    peer: controlPeer(settings),
  });
  closers.add('blobs', () => blobs.close());
  const datasets = await openDatasets(settings.datasets, { mayBeAway: true });
  closers.add('data sets', () => datasets.close());
  const catalog = new Catalog(documents);
  closers.add('announcements', announceChanges(catalog, registry, clock, log));
  const reachable = watchReachable(clock, {
    registry: () => registry.lease('leader'),
    catalog: () => catalog.get('cluster', 'leader'),
  });
  closers.add('looks at the stores', () => reachable.stop());
  return { registry, catalog, blobs, datasets, reachable };
}

/** Leaders hear of versions that other processes publish; else they look for themselves. */
function announceChanges(catalog: Catalog, registry: Registry, clock: Clock, log: Log): () => void {
  let cancel: (() => void) | undefined;
  const tell = (): void => {
    cancel = undefined;
    registry.announce(CATALOG_TOPIC).catch((error: unknown) => {
      log.debug({ err: error }, 'a change of the catalog could not be announced');
    });
  };
  const unwatch = catalog.onChange((kind) => {
    if (kind === 'model' || kind === 'version') cancel ??= clock.after(ANNOUNCE_PAUSE_MS, tell);
  });
  return () => {
    unwatch();
    cancel?.();
  };
}
