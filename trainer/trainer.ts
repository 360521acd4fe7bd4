// The trainer role: takes training jobs by lease and runs each in a process of its own.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Counter, Histogram } from 'prom-client';
import type { Catalog } from '../catalog/catalog.ts';
import type { TrainSpec } from '../catalog/documents.ts';
import { type JobHandler, startJobLoop } from '../catalog/job-loop.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { codeName, statusOf } from '../common/status.ts';
import type { Registry } from '../registry/registry.ts';
import type { BlobStore } from '../stores/blobs/blobs.ts';
import type { DatasetStore } from '../stores/datasets/datasets.ts';
import { createTrainHandler, removeLeftovers } from './job.ts';
import type { BackendName } from './tfjs/backend.ts';
import { findTfjsNode } from './toolchain.ts';

export interface TrainerOptions {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly blobs: Pick<BlobStore, 'write'>;
  readonly datasets: Pick<DatasetStore, 'scan'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of this trainer alone: files of running jobs; emptied at the start. */
  readonly directory: string;
  /** Where `toolchain install` put the native backend, if it did. */
  readonly toolchainDirectory?: string;
  /** The date, milliseconds since 1970; the system's when absent. */
  readonly dateMs?: () => number;
  /** Training processes at a time (default 1). */
  readonly maxConcurrentJobs?: number;
  /** Only this one; absent: the fastest that works. */
  readonly backend?: BackendName;
}

export interface Trainer {
  /** Running jobs are stopped and go back into the queue. */
  stop(): Promise<void>;
}

export async function startTrainer(options: TrainerOptions): Promise<Trainer> {
  const { catalog, registry, blobs, datasets, clock, log, maxConcurrentJobs = 1 } = options;
  const dateMs = options.dateMs ?? Date.now;
  const directory = join(options.directory, 'jobs');
  await removeLeftovers(directory);
  const native = findTfjsNode(options.toolchainDirectory);
  if (native !== undefined) log.info({ path: native }, 'training uses the native TensorFlow.js');
  const handler = createTrainHandler({
    ...{ catalog, blobs, datasets, clock, dateMs, directory },
    nativeModulePath: native,
    backend: options.backend,
  });
  return startJobLoop({
    ...{ catalog, registry, clock, log, dateMs, maxConcurrentJobs },
    owner: `trainer-${randomBytes(6).toString('hex')}`,
    handlers: { train: measured(handler, clock, options.metrics) },
  });
}

/** Counts jobs by how they ended here, and how long they took. */
function measured(
  handler: JobHandler<TrainSpec>,
  clock: Clock,
  metrics: Metrics,
): JobHandler<TrainSpec> {
  const ended = new Counter({
    name: 'torus_training_jobs_total',
    help: 'Training jobs that ended in this process, by algorithm and status code',
    labelNames: ['algorithm', 'code'],
    registers: [metrics],
  });
  const seconds = new Histogram({
    name: 'torus_training_job_seconds',
    help: 'Time of a training job from its rows to its published version',
    labelNames: ['algorithm'],
    buckets: [1, 5, 10, 30, 60, 300, 1_800, 7_200],
    registers: [metrics],
  });
  return async (job, context) => {
    const { algorithm } = job.spec;
    const startMs = clock.nowMs();
    try {
      const result = await handler(job, context);
      ended.inc({ algorithm, code: 'OK' });
      return result;
    } catch (error) {
      ended.inc({ algorithm, code: codeName(statusOf(error).code) });
      throw error;
    } finally {
      seconds.observe({ algorithm }, (clock.nowMs() - startMs) / 1000);
    }
  };
}
