// An inline model on one more thread that serves: what it may cost is known, since it was loaded
// and measured before (load-model.ts), so only its session is made here.
import type { Clock } from '../../common/clock.ts';
import type { TensorSpec } from '../../common/tensor.ts';
import type { BatcherLimits } from '../batcher/batcher.ts';
import type { LoadedModel, ModelObserver } from '../loaded-model.ts';
import { BatchedModel } from './batched-model.ts';
import { ortOfThread } from './onnx/binding.ts';
import { startInlineInstance } from './onnx/inline.ts';
import { warmUp } from './warm-up.ts';

/** What a thread needs to run the model inline. Survives a structured clone. */
export interface InlineEngine {
  readonly model: string;
  readonly version: number;
  readonly modelPath: string;
  /** What its file lets one expect that it takes. */
  readonly expectedBytes: number;
  readonly intraOpThreads: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Each thread has a queue of its own. */
  readonly limits: BatcherLimits;
  readonly maxRunMs: number;
  /** Inline runs that mostly take longer move it to a worker. Infinity: none do. */
  readonly leavesAboveUs: number;
}

export interface BesideOptions {
  readonly clock: Clock;
  readonly observer: ModelObserver;
  /** Most runs are too slow for a thread that serves. */
  readonly onSlow: (reason: string) => void;
}

/** @throws INVALID_ARGUMENT with ONNX Runtime's reason */
export async function loadBeside(
  engine: InlineEngine,
  { clock, observer, onSlow }: BesideOptions,
): Promise<{ readonly loaded: LoadedModel; readonly memoryBytes: number }> {
  const { modelPath, intraOpThreads, inputs, outputs } = engine;
  const { maxBatchSize } = engine.limits;
  const rssBefore = process.memoryUsage.rss();
  const start = () =>
    startInlineInstance({ modelPath, intraOpThreads, clock, maxBatchSize, inputs, outputs });
  const instance = await start();
  try {
    await warmUp(instance, maxBatchSize);
  } catch (thrown) {
    await instance.stop();
    throw thrown;
  }
  const grownBytes = process.memoryUsage.rss() - rssBefore;
  const memoryBytes = Math.ceil(Math.max(engine.expectedBytes, grownBytes));
  const { problem } = instance.way === 'inline_public' ? await ortOfThread() : { problem: '' };
  observer.wayChosen?.(instance.way, problem);
  const loaded = new BatchedModel({
    ...{ engine, memoryBytes, clock, observer, onSlow },
    instances: [instance],
    startInstance: start,
  });
  return { loaded, memoryBytes };
}
