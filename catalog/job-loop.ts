// Finds jobs of the kinds that a role handles, takes each by lease and compare-and-set, and runs
// its handler. It is told of new jobs by the registry's announcement and also looks itself every
// few seconds, so no hint need arrive. A job whose worker died (SIGKILL included)
// has nobody renewing its lease; the next look takes it again under a higher epoch.
import { Code, hasCode } from '../common/status.ts';
import type { Entry } from './catalog.ts';
import type {
  ImportDatasetSpec,
  ImportModelSpec,
  JobDoc,
  JobSpec,
  TrainSpec,
} from './documents.ts';
import { JOB_LEASE_MS, type JobContext, JobRun, type JobRunOptions } from './job-run.ts';
import { claimJob, hasEnded, JOBS_TOPIC, type JobResult, jobLeaseName, mayBeOpen } from './jobs.ts';

/** How often a loop looks for work when nobody tells it of any. */
export const JOB_LOOK_MS = 3_000;

/** A job known to be of one kind. */
export type JobOf<S extends JobSpec> = Omit<JobDoc, 'spec'> & { readonly spec: S };

/**
 * Does the work and returns its result; stops soon after the context's signal was aborted. A
 * StatusError thrown becomes the job's error, anything else INTERNAL.
 */
export type JobHandler<S extends JobSpec> = (
  job: JobOf<S>,
  context: JobContext,
) => Promise<JobResult>;

export interface JobHandlers {
  readonly train?: JobHandler<TrainSpec>;
  readonly import_dataset?: JobHandler<ImportDatasetSpec>;
  readonly import_model?: JobHandler<ImportModelSpec>;
}

export interface JobLoopOptions extends JobRunOptions {
  /** Of this process and this start of it: a restarted process is another owner. */
  readonly owner: string;
  readonly handlers: JobHandlers;
  /** Jobs run at a time (default 1); others wait, oldest first. */
  readonly maxConcurrentJobs?: number;
}

export interface JobLoop {
  /** Takes no more jobs; those that run are told, and go back into the queue. */
  stop(): Promise<void>;
}

export function startJobLoop(options: JobLoopOptions): JobLoop {
  const loop = new Loop(options);
  loop.start();
  return loop;
}

class Loop implements JobLoop {
  readonly #options: JobLoopOptions;
  readonly #running = new Map<string, { readonly run: JobRun; readonly over: Promise<void> }>();
  /** Told once each. */
  readonly #unreadable = new Set<string>();
  #endWatch: (() => void) | undefined;
  #cancelTimer: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #looksAgain = false;
  #isStopped = false;

  constructor(options: JobLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#endWatch = this.#options.registry.watch((change) => {
      const isJobs = change.kind === 'announcement' && change.topic === JOBS_TOPIC;
      if (isJobs || change.kind === 'all') this.#look();
    });
    this.#look();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#endWatch?.();
    await this.#looking;
    for (const { run } of this.#running.values()) run.stop();
    await Promise.all([...this.#running.values()].map(({ over }) => over));
  }

  #hasRoom(): boolean {
    return this.#running.size < (this.#options.maxConcurrentJobs ?? 1);
  }

  /** One look at a time; a hint that comes during one makes it look again. */
  #look(): void {
    if (this.#isStopped) return;
    if (this.#looking !== undefined) {
      this.#looksAgain = true;
      return;
    }
    this.#cancelTimer?.();
    this.#looking = this.#takeJobs()
      .catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'jobs could not be looked for');
      })
      .finally(() => {
        this.#looking = undefined;
        if (this.#isStopped) return;
        if (this.#looksAgain) {
          this.#looksAgain = false;
          this.#look();
        } else {
          this.#cancelTimer = this.#options.clock.after(JOB_LOOK_MS, () => this.#look());
        }
      });
  }

  async #takeJobs(): Promise<void> {
    if (!this.#hasRoom()) return;
    const open: Entry<'job'>[] = [];
    const { catalog, log } = this.#options;
    const onInvalid = (job: string, err: unknown): void => {
      if (this.#unreadable.has(job)) return;
      this.#unreadable.add(job);
      log.error({ job, err }, 'a job in the catalog can not be read, it is passed over');
    };
    for await (const entry of catalog.scan('job', { isWanted: mayBeOpen, onInvalid })) {
      const isMine = this.#options.handlers[entry.doc.spec.kind] !== undefined;
      if (isMine && !hasEnded(entry.doc) && !this.#running.has(entry.key)) open.push(entry);
    }
    open.sort((a, b) => a.doc.createdMs - b.doc.createdMs);
    for (const entry of open) {
      if (this.#isStopped || !this.#hasRoom()) return;
      const job = await this.#take(entry);
      if (job !== undefined) this.#run(job);
    }
  }

  /** The job as it is under our claim; undefined: not ours. */
  async #take({ key, doc, revision }: Entry<'job'>): Promise<JobDoc | undefined> {
    const { catalog, registry, owner, dateMs, log } = this.#options;
    const lease = { name: jobLeaseName(key), owner, epoch: doc.epoch + 1 };
    if ((await registry.lease(lease.name)) !== undefined) return undefined;
    if (!(await registry.acquireLease(lease, JOB_LEASE_MS))) return undefined;
    try {
      const next = claimJob(doc, owner, dateMs());
      await catalog.put('job', key, next, revision);
      if (next.state === 'RUNNING') {
        log.info({ job: key, epoch: next.epoch, attempt: next.attempts }, 'job taken');
        return next;
      }
      log.warn({ job: key, state: next.state, reason: next.error?.message }, 'job ended untaken');
    } catch (error) {
      await registry.releaseLease(lease);
      if (hasCode(error, Code.ABORTED)) return undefined;
      throw error;
    }
    await registry.releaseLease(lease);
    return undefined;
  }

  #run(job: JobDoc): void {
    const run = new JobRun(this.#options, job);
    const over = run
      .run((context) => this.#handle(job, context))
      .finally(() => {
        this.#running.delete(job.id);
        this.#look();
      });
    this.#running.set(job.id, { run, over });
  }

  async #handle(job: JobDoc, context: JobContext): Promise<JobResult> {
    const { handlers } = this.#options;
    const { spec } = job;
    switch (spec.kind) {
      case 'train':
        return await required(handlers.train)({ ...job, spec }, context);
      case 'import_dataset':
        return await required(handlers.import_dataset)({ ...job, spec }, context);
      case 'import_model':
        return await required(handlers.import_model)({ ...job, spec }, context);
    }
  }
}

function required<T>(handler: T | undefined): T {
  if (handler === undefined) throw new Error('a job was taken that nobody here handles');
  return handler;
}
