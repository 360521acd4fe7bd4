// From a file to a model that serves: checks, quarantine, threads, warm-up. What goes wrong on the
// way leaves nothing behind.
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { type Clock, systemClock } from '../../common/clock.ts';
import { Code, invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import { MAX_INSTANCES } from '../../model/config/derive.ts';
import type { Execution } from '../../model/config/policy.ts';
import {
  DEFAULT_MAX_LOAD_MS,
  DEFAULT_MAX_QUEUE_BYTES,
  DEFAULT_MAX_QUEUE_SIZE,
  DEFAULT_MAX_RUN_MS,
  type LoadedModel,
  type LoadModel,
  type LoadModelOptions,
} from '../loaded-model.ts';
import { BatchedModel } from './batched-model.ts';
import type { EngineInstance } from './engine.ts';
import { firstRun } from './first-run.ts';
import { type InlineFacts, leavesAboveUs, obstacleToInline } from './inline-cost.ts';
import type { InlineEngine } from './load-beside.ts';
import { ortOfThread } from './onnx/binding.ts';
import { type InlineOptions, startInlineInstance } from './onnx/inline.ts';
import { type InstanceOptions, startOnnxInstance } from './onnx/instance.ts';
import { SpareThreads } from './onnx/thread.ts';
import { unbatchable, warmUp } from './warm-up.ts';

/** What a model costs in memory is at least this times its file. */
const FILE_TO_MEMORY_RATIO = 1.5;

/** Starts one instance; given by tests that watch or disturb it. */
export type StartInstance = (options: InstanceOptions) => Promise<EngineInstance>;

/** Starts one on the calling thread. */
export type StartInline = (options: InlineOptions) => Promise<EngineInstance>;

export interface LoadModelSettings {
  /** For models whose configuration does not say. Default 'auto'. */
  readonly execution?: Execution;
  /** That this process may use at the same time. Default: what the system allows it. */
  readonly cores?: number;
  /** Given by tests. */
  readonly startInline?: StartInline;
}

/** ONNX Runtime's instances, on threads that are used again. */
export function onnxInstances(threads = new SpareThreads()): StartInstance {
  return (options) => startOnnxInstance(options, threads);
}

/**
 * The loads of one thread happen one after the other: so the memory that each takes can be told,
 * and a death in one of them names the right version.
 */
export function createLoadModel(
  startInstance = onnxInstances(),
  settings: LoadModelSettings = {},
): LoadModel {
  let last: Promise<unknown> = Promise.resolve();
  const busy: BusyThreads = new Map();
  return (options) => {
    const execution = options.execution ?? settings.execution ?? 'auto';
    const { startInline = startInlineInstance, cores = availableParallelism() } = settings;
    const means = { start: startInstance, startInline, cores };
    const loaded = last.then(() => load({ ...options, execution }, means, busy));
    last = loaded.catch(() => undefined);
    return loaded;
  };
}

/** Loads that were given up while their thread goes on, by model and version: when it is free. */
type BusyThreads = Map<string, Promise<void>>;

/** What a load has to run models with. */
interface Means {
  readonly start: StartInstance;
  readonly startInline: StartInline;
  readonly cores: number;
}

async function load(
  options: LoadModelOptions,
  means: Means,
  busy: BusyThreads,
): Promise<LoadedModel> {
  checkOptions(options);
  const { model, version, quarantine } = options;
  const key = `${model}/${version}`;
  const since = busy.get(key);
  if (since !== undefined) {
    options.onBusy?.(since);
    throw new StatusError(
      Code.UNAVAILABLE,
      'an earlier load, which took longer than max_load_ms, still keeps a thread busy: the ' +
        'version is loaded again when that is done, or by a new process',
    );
  }
  const reason = quarantine?.reasonFor(model, version);
  if (reason !== undefined) throw new StatusError(Code.FAILED_PRECONDITION, reason);
  const fileBytes = await sizeOf(options.modelPath);
  await quarantine?.arm(model, version);
  const work = new Load(options, means);
  try {
    const loaded = await work.run(fileBytes);
    await quarantine?.disarm(model, version);
    return loaded;
  } catch (thrown) {
    // The marker stays while the process may still end of this load.
    if (work.freed === undefined) await quarantine?.clear(model, version);
    else {
      const freed = work.freed
        .then(() => quarantine?.clear(model, version))
        .catch(() => {})
        .then(() => void busy.delete(key));
      busy.set(key, freed);
      options.onBusy?.(freed);
    }
    throw thrown;
  }
}

/** One load: its threads are either all handed over or all stopped. */
class Load {
  readonly #options: LoadModelOptions;
  readonly #means: Means;
  readonly #clock: Clock;
  #instances: readonly EngineInstance[] = [];
  #isGivenUp = false;
  /** There once the load was given up: resolves when its threads are done. */
  freed: Promise<void> | undefined;
  /** Why it does not run inline, or not by the binding; '' when it does. */
  #obstacle = '';

  constructor(options: LoadModelOptions, means: Means) {
    this.#options = options;
    this.#means = means;
    this.#clock = options.clock ?? systemClock;
  }

  async run(fileBytes: number): Promise<LoadedModel> {
    const { maxLoadMs = DEFAULT_MAX_LOAD_MS } = this.#options;
    const rssBefore = process.memoryUsage.rss();
    let cancelLimit = () => {};
    const limit = new Promise<never>((_, reject) => {
      cancelLimit = this.#clock.after(maxLoadMs, () => {
        reject(givenUp(maxLoadMs));
      });
    });
    const ready = this.#startAll(fileBytes);
    try {
      await Promise.race([ready, limit]);
    } catch (thrown) {
      this.#isGivenUp = true;
      const freed = ready.catch(() => {}).then(() => this.#stopAll());
      if (statusOf(thrown).code === Code.DEADLINE_EXCEEDED) this.freed = freed;
      else await freed;
      throw thrown;
    } finally {
      cancelLimit();
    }
    const grownBytes = process.memoryUsage.rss() - rssBefore;
    return this.#serve(FILE_TO_MEMORY_RATIO * fileBytes, grownBytes);
  }

  /** The first is loaded in a worker in any case: what it costs is not known before. */
  async #startAll(fileBytes: number): Promise<void> {
    const { maxBatchSize = 0, instanceCount = 1, observer } = this.#options;
    for (let index = 0; index < instanceCount && !this.#isGivenUp; index++) {
      const instance = await this.#startOne();
      this.#instances = [...this.#instances, instance];
      const problem = unbatchable(instance.inputs, maxBatchSize);
      if (problem !== undefined) {
        throw invalidArgument(
          `the model can't be served with max_batch_size ${maxBatchSize}, set it to 0: ${problem}`,
        );
      }
      const warm = await warmUp(instance, maxBatchSize);
      if (index > 0) continue;
      if (warm.problem !== undefined) observer?.warmUpFailed?.(warm.problem);
      const { fullRunNs } = warm;
      if (await this.#moveInline(instance, { fileBytes, fullRunNs })) return;
    }
  }

  /** Whether the model runs inline from now on; then the worker is free again. */
  async #moveInline(
    worker: EngineInstance,
    cost: Pick<InlineFacts, 'fileBytes' | 'fullRunNs'>,
  ): Promise<boolean> {
    const { execution = 'worker', maxBatchSize = 0, modelPath } = this.#options;
    const { instanceCount = 1, intraOpThreads = 1, hasFixedCost = false } = this.#options;
    const { inputs, outputs, loadMs } = worker;
    const obstacle = obstacleToInline({
      ...{ execution, inputs, maxBatchSize, instanceCount, intraOpThreads, hasFixedCost },
      ...{ ...cost, loadMs, cores: this.#means.cores },
    });
    this.#obstacle = obstacle ?? '';
    if (obstacle !== undefined || this.#isGivenUp) return false;
    try {
      const clock = this.#clock;
      const inline = await this.#means.startInline({
        ...{ modelPath, intraOpThreads, clock, maxBatchSize, inputs, outputs },
      });
      this.#instances = [inline, worker];
      await warmUp(inline, maxBatchSize);
      this.#instances = [inline];
      if (inline.way === 'inline_public') this.#obstacle = (await ortOfThread()).problem;
      await worker.stop();
      return true;
    } catch (thrown) {
      if (execution === 'inline') throw thrown;
      await Promise.all(this.#instances.map((one) => (one === worker ? undefined : one.stop())));
      this.#instances = [worker];
      this.#obstacle = statusOf(thrown).message;
      return false;
    }
  }

  #startOne(): Promise<EngineInstance> {
    const { modelPath, intraOpThreads = 1 } = this.#options;
    return this.#means.start({ modelPath, intraOpThreads, clock: this.#clock });
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#instances.map((instance) => instance.stop()));
  }

  get #leavesAboveUs(): number {
    const isFree = this.#options.execution === 'auto';
    return isFree ? leavesAboveUs(this.#means.cores) : Number.POSITIVE_INFINITY;
  }

  #serve(expectedBytes: number, grownBytes: number): LoadedModel {
    const { model, version, maxBatchSize = 0, observer = {}, onFailed } = this.#options;
    const [first] = this.#instances;
    observer.wayChosen?.(first?.way ?? 'worker', this.#obstacle);
    const engine: InlineEngine = {
      ...{ model, version, expectedBytes },
      modelPath: this.#options.modelPath,
      intraOpThreads: this.#options.intraOpThreads ?? 1,
      inputs: first?.inputs ?? [],
      outputs: first?.outputs ?? [],
      leavesAboveUs: this.#leavesAboveUs,
      maxRunMs: this.#options.maxRunMs ?? DEFAULT_MAX_RUN_MS,
      limits: {
        maxBatchSize,
        preferredBatchSizes: this.#options.preferredBatchSizes ?? [],
        maxQueueDelayMs: (this.#options.maxQueueDelayUs ?? 0) / 1000,
        maxQueueSize: this.#options.maxQueueSize ?? DEFAULT_MAX_QUEUE_SIZE,
        maxQueueBytes: this.#options.maxQueueBytes ?? DEFAULT_MAX_QUEUE_BYTES,
      },
    };
    return new BatchedModel({
      engine,
      memoryBytes: Math.ceil(Math.max(expectedBytes, grownBytes)),
      firstRun: this.#options.quarantine && firstRun(this.#options),
      observer,
      onFailed,
      instances: this.#instances,
      startInstance: () => this.#startOne(),
      clock: this.#clock,
    });
  }
}

function givenUp(maxLoadMs: number): StatusError {
  return new StatusError(
    Code.DEADLINE_EXCEEDED,
    `loading took longer than max_load_ms ${maxLoadMs}: its thread can not be interrupted and is ` +
      'still busy; the version is loaded again when that is done, or by a new process',
  );
}

const LEAST: Readonly<Record<string, number>> = {
  maxBatchSize: 0,
  maxQueueDelayUs: 0,
  maxQueueSize: 1,
  maxQueueBytes: 1,
  instanceCount: 1,
  maxRunMs: 1,
  maxLoadMs: 1,
  intraOpThreads: 1,
};

function checkOptions(options: LoadModelOptions): void {
  for (const [name, value] of Object.entries(options)) {
    const least = LEAST[name];
    if (least === undefined || value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < least) {
      throw invalidArgument(`${name} must be a whole number of at least ${least}, got ${value}`);
    }
  }
  if ((options.instanceCount ?? 1) > MAX_INSTANCES) {
    throw invalidArgument(`instanceCount must be at most ${MAX_INSTANCES}`);
  }
  const { maxBatchSize = 0, preferredBatchSizes = [] } = options;
  const wrong = preferredBatchSizes.find((size) => !(size >= 1 && size <= maxBatchSize));
  if (wrong !== undefined) {
    throw invalidArgument(`preferred batch size ${wrong} is not from 1 to ${maxBatchSize}`);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new StatusError(Code.NOT_FOUND, `the model's file can not be read: ${code}`, { cause });
  }
}
