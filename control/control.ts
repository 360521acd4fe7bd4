// The control role: admin services over the catalog, the leader, and the removal of what nobody
// needs. Its listeners (admin gRPC, blobs over HTTP) are opened by who starts it.
import type { Catalog } from '../catalog/catalog.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import type { Registry } from '../registry/registry.ts';
import type { BlobStore } from '../stores/blobs/blobs.ts';
import type { DatasetStore } from '../stores/datasets/datasets.ts';
import type { Backend } from '../transport/backend.ts';
import { mergeBackends } from '../transport/service.ts';
import type { AdminContext } from './admin/admin-context.ts';
import { clusterService } from './admin/cluster-service.ts';
import { datasetService } from './admin/dataset-service.ts';
import { jobService } from './admin/job-service.ts';
import { modelService } from './admin/model-service.ts';
import { collectGarbage, forgetOldJobs } from './garbage.ts';
import { Leader } from './leader.ts';
import type { LeaderConfig } from './leader-state.ts';
import { controlMetrics } from './metrics.ts';
import type { PlanParts } from './planner.ts';
import { PlannerThread, type StoreAddresses } from './planner-thread.ts';
import { type RepositoryHooks, repositoryHooks } from './repository.ts';

/** Garbage is collected soon after the start, when the rush is over, and then so often. */
export const FIRST_GARBAGE_MS = 30_000;
export const GARBAGE_PERIOD_MS = 60 * 60 * 1_000;

export interface ControlOptions {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly datasets: DatasetStore;
  readonly registry: Registry;
  readonly clock: Clock;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
  /** Names this process among the control processes; shown to people as the leader. */
  readonly id: string;
  /** CLUSTER_TIMING or SINGLE_PROCESS_TIMING. */
  readonly timing: LeaderConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Where a thread for plans finds the stores. Absent: plans are made on this thread. */
  readonly planning?: StoreAddresses;
}

export interface Control extends RepositoryHooks {
  /** The services of torus/v1. */
  readonly backend: Backend;
  /** The epoch under which this process leads now; undefined: it does not. */
  leaderEpoch(): number | undefined;
  /** Gives the lead to another one and ends what runs; the stores stay open. */
  stop(): Promise<void>;
}

export async function startControl(options: ControlOptions): Promise<Control> {
  const { catalog, registry, clock, dateMs, metrics } = options;
  const told = controlMetrics({ metrics, catalog, nowMs: () => clock.nowMs() });
  const { planning, log } = options;
  const onLost = (): void => told.lostPlanner();
  const leader = new Leader({
    ...options,
    ...(planning && {
      planner: (parts: PlanParts) => new PlannerThread({ ...parts, planning, clock, log, onLost }),
    }),
    onReport: (report) => told.planned(report),
    onLead: (epoch) => told.leads(epoch),
  });
  leader.start();
  const stopGarbage = collectNowAndThen(options, () => leader.epoch() !== undefined);
  const context: AdminContext = { ...options, registry };
  return {
    backend: mergeBackends([
      modelService(context),
      datasetService(context),
      jobService(context),
      clusterService(context),
    ]),
    ...repositoryHooks(catalog, dateMs),
    leaderEpoch: () => leader.epoch(),
    async stop() {
      await Promise.all([leader.stop(), stopGarbage()]);
    },
  };
}

/** Of several control processes only the leader collects. The function returned ends it. */
function collectNowAndThen(options: ControlOptions, isLeader: () => boolean): () => Promise<void> {
  const { clock, log } = options;
  const abort = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  const collect = async (): Promise<void> => {
    if (!isLeader()) return;
    try {
      await forgetOldJobs({ ...options, signal: abort.signal });
      await collectGarbage({ ...options, signal: abort.signal });
    } catch (error) {
      log.error({ err: error }, 'jobs and blobs that nobody needs could not be removed');
    }
  };
  const plan = (delayMs: number): (() => void) =>
    clock.after(delayMs, () => {
      cancel = plan(GARBAGE_PERIOD_MS);
      running = collect();
    });
  let cancel = plan(FIRST_GARBAGE_MS);
  return async () => {
    cancel();
    abort.abort();
    await running;
  };
}
