// One run of one job under a claim: keeps the lease alive, watches for a cancel request and for the
// loss of the claim, writes progress at a bounded rate, and writes the end exactly once. A run
// whose claim is lost writes nothing more.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { Code, codeName, hasCode, StatusError, statusOf } from '../common/status.ts';
import type { Registry } from '../registry/registry.ts';
import type { Catalog, Entry } from './catalog.ts';
import type { JobDoc } from './documents.ts';
import {
  cancelJob,
  failJob,
  holdsClaim,
  JOBS_TOPIC,
  type JobClaim,
  type JobProgress,
  type JobResult,
  jobLeaseName,
  progressJob,
  requeueJob,
  succeedJob,
} from './jobs.ts';

/** A worker unheard of for so long is taken for dead, and its job is taken again. */
export const JOB_LEASE_MS = 10_000;
export const JOB_RENEW_MS = 2_500;
/** Progress told faster is written at this rate, the last one wins. */
export const PROGRESS_WRITE_MS = 250;
/** Tries to write a job's end when the store fails; then the job is left to be taken again. */
const END_WRITE_ATTEMPTS = 5;
const END_WRITE_PAUSE_MS = 500;

/** What a handler gets besides the job. */
export interface JobContext {
  readonly claim: JobClaim;
  /** Aborted when the job is to stop: cancelled, its claim lost, or the process ending. */
  readonly signal: AbortSignal;
  /**
   * Tells how far it is: fraction 0 to 1, a step's name for people, numbers by name. Never fails.
   */
  progress(fraction: number, step: string, metrics?: Readonly<Record<string, number>>): void;
}

export interface JobRunOptions {
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** The date, milliseconds since 1970. */
  readonly dateMs: () => number;
}

type Stop = 'cancelled' | 'lost' | 'stopping';

const STOP_CODES: Record<Stop, StatusError> = {
  cancelled: new StatusError(Code.CANCELLED, 'the job was cancelled'),
  lost: new StatusError(Code.ABORTED, 'the job was taken by another worker'),
  stopping: new StatusError(Code.UNAVAILABLE, 'the process is stopping'),
};

export class JobRun {
  readonly claim: JobClaim;
  readonly #options: JobRunOptions;
  readonly #abort = new AbortController();
  #stop: Stop | undefined;
  #isOver = false;
  #pending: JobProgress | undefined;
  #cancelProgress: (() => void) | undefined;
  #cancelRenew: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: JobRunOptions, job: JobDoc) {
    this.#options = options;
    this.claim = { id: job.id, owner: job.owner, epoch: job.epoch };
  }

  /** Runs to the end, whatever it is; never throws. */
  async run(work: (context: JobContext) => Promise<JobResult>): Promise<void> {
    const { catalog, log } = this.#options;
    const unwatch = catalog.onChange((kind, key) => {
      if (kind === 'job' && key === this.claim.id) void this.#look();
    });
    this.#planRenew();
    // What was asked for before it was listened to.
    void this.#look();
    const context: JobContext = {
      claim: this.claim,
      signal: this.#abort.signal,
      progress: (fraction, step, metrics) => this.#progress({ fraction, step, metrics }),
    };
    let change: (job: JobDoc) => JobDoc;
    try {
      const { name, metrics } = await work(context);
      const result = { name, metrics: finite(metrics) };
      change = (job) => succeedJob(job, this.claim, result, this.#options.dateMs());
    } catch (error) {
      change = this.#changeAfter(error);
      if (this.#stop === undefined) logFailure(log, this.claim.id, error);
    }
    unwatch();
    this.#isOver = true;
    this.#cancelProgress?.();
    await this.#writing;
    await this.#flush();
    if (this.#stop !== 'lost') await this.#writeEnd(change);
    this.#cancelRenew?.();
    await this.#release();
  }

  /** The process ends: the handler is told, and the job goes back into the queue. */
  stop(): void {
    this.#end('stopping');
  }

  #end(stop: Stop): void {
    if (this.#stop !== undefined || this.#isOver) return;
    this.#stop = stop;
    this.#abort.abort(STOP_CODES[stop]);
  }

  #changeAfter(error: unknown): (job: JobDoc) => JobDoc {
    const { dateMs } = this.#options;
    switch (this.#stop) {
      case 'cancelled':
        return (job) => cancelJob(job, this.claim, dateMs());
      case 'stopping':
        return (job) => requeueJob(job, this.claim, dateMs());
      default:
        return (job) => failJob(job, this.claim, statusOf(error), dateMs());
    }
  }

  #progress(told: {
    fraction: number;
    step: string;
    metrics: Readonly<Record<string, number>> | undefined;
  }): void {
    if (this.#isOver) return;
    this.#pending = { ...told, metrics: finite(told.metrics ?? {}) };
    this.#cancelProgress ??= this.#options.clock.after(PROGRESS_WRITE_MS, () => {
      this.#cancelProgress = undefined;
      this.#writing = this.#writing.then(() => this.#flush());
    });
  }

  async #flush(): Promise<void> {
    const progress = this.#pending;
    this.#pending = undefined;
    if (progress === undefined || this.#stop === 'lost') return;
    const { catalog, dateMs, log } = this.#options;
    try {
      this.#heed(
        await catalog.update('job', this.claim.id, (job) =>
          progressJob(job, this.claim, progress, dateMs()),
        ),
      );
    } catch (error) {
      if (hasCode(error, Code.ABORTED)) this.#end('lost');
      else log.warn({ job: this.claim.id, err: error }, 'progress could not be written');
    }
  }

  /** Acts on what the job's document says now. */
  #heed(entry: Entry<'job'> | undefined): void {
    if (entry === undefined || !holdsClaim(entry.doc, this.claim)) this.#end('lost');
    else if (entry.doc.isCancelRequested) this.#end('cancelled');
  }

  async #look(): Promise<void> {
    if (this.#isOver) return;
    try {
      const entry = await this.#options.catalog.get('job', this.claim.id);
      if (!this.#isOver) this.#heed(entry);
    } catch (error) {
      this.#options.log.warn({ job: this.claim.id, err: error }, 'job could not be read');
    }
  }

  #planRenew(): void {
    this.#cancelRenew = this.#options.clock.after(JOB_RENEW_MS, () => {
      this.#planRenew();
      void this.#renew().then(() => this.#look());
    });
  }

  /** A registry that can't be reached stops no work: the epoch in the catalog fences. */
  async #renew(): Promise<void> {
    const { registry, log } = this.#options;
    const lease = { name: jobLeaseName(this.claim.id), ...this.#leaseOf() };
    try {
      if (await registry.renewLease(lease, JOB_LEASE_MS)) return;
      if (!(await registry.acquireLease(lease, JOB_LEASE_MS))) this.#end('lost');
    } catch (error) {
      log.warn({ job: this.claim.id, err: error }, 'lease could not be renewed');
    }
  }

  #leaseOf(): { readonly owner: string; readonly epoch: number } {
    return { owner: this.claim.owner, epoch: this.claim.epoch };
  }

  async #writeEnd(change: (job: JobDoc) => JobDoc): Promise<void> {
    const { catalog, clock, log } = this.#options;
    for (let attempt = 1; attempt <= END_WRITE_ATTEMPTS; attempt += 1) {
      try {
        const { doc } = await catalog.update('job', this.claim.id, change);
        log.info({ job: doc.id, state: doc.state }, 'job ended');
        return;
      } catch (error) {
        log.warn({ job: this.claim.id, err: error }, 'end of job could not be written');
        const isGone = hasCode(error, Code.NOT_FOUND);
        if (hasCode(error, Code.ABORTED) || isGone) return;
      }
      await new Promise<void>((resolve) => clock.after(END_WRITE_PAUSE_MS, resolve));
    }
  }

  async #release(): Promise<void> {
    const { registry, log } = this.#options;
    try {
      await registry.releaseLease({ name: jobLeaseName(this.claim.id), ...this.#leaseOf() });
      await registry.announce(JOBS_TOPIC);
    } catch (error) {
      log.warn({ job: this.claim.id, err: error }, 'lease could not be released');
    }
  }
}

/** The catalog holds no others. */
function finite(metrics: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)));
}

/** Of ours, where the stack is needed; else what the job was given is, and the reason says it. */
const OWN_FAULTS: readonly Code[] = [Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS];

function logFailure(log: Log, job: string, error: unknown): void {
  const { code, message } = statusOf(error);
  if (OWN_FAULTS.includes(code)) log.warn({ job, err: error }, 'job failed');
  else log.warn({ job, code: codeName(code), reason: message }, 'job failed');
}
