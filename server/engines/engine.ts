// What an engine's instance is to the model that owns it: one run at a time, requests in, whole
// outputs back. ONNX Runtime in a worker thread is one, on the calling thread another.
import type { StatusError } from '../../common/status.ts';
import type { Tensor, TensorSpec } from '../../common/tensor.ts';

/** Requests that run as one: along their first dimension, when there is more than one. */
export interface Batch {
  readonly requests: readonly { readonly inputs: readonly Tensor[] }[];
  /** Sum of their rows; 0 for a model without batching, whose shapes are taken as they are. */
  readonly rows: number;
}

export type RunOutcome =
  | {
      readonly ok: true;
      /** The whole batch's outputs, in the model's order; good until `done` returns. */
      readonly outputs: readonly Tensor[];
      /** Inside the runtime, without any way to it and back. */
      readonly runNs: number;
      readonly computeInputNs: number;
      readonly computeInferNs: number;
      readonly computeOutputNs: number;
    }
  | {
      readonly ok: false;
      readonly error: StatusError;
      /** The thread is gone with the run: the instance takes no more. */
      readonly hasEnded: boolean;
    };

/**
 * Where runs happen. inline: on the calling thread, `done` is called before `run` returns;
 * inline_public: there too, by the package's public API, which answers in a later turn.
 */
export type Way = 'worker' | 'inline' | 'inline_public';

export interface EngineInstance {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly way: Way;
  /** How long its thread was blocked by loading the model. */
  readonly loadMs: number;
  /**
   * Copies the inputs before it returns; calls `done` once. The next run may be started from within
   * `done`, before its outputs are read.
   */
  run(batch: Batch, done: (outcome: RunOutcome) => void): void;
  /** Waits for the run in flight, gives the memory back, leaves the thread. Never kills. */
  stop(): Promise<void>;
  /** Resolves when nothing of it runs any more: undefined if it was asked to stop, else why. */
  readonly ended: Promise<StatusError | undefined>;
}
