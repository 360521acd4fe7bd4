// What an instance and its worker thread say to each other. Commands are a word in shared memory
// and a doorbell (the worker sleeps on it: a message would cost twice the time); answers are
// messages.
//
// A thread: LOAD, then RUN any number of times, then STOP, and it can LOAD again; END ends it.
import type { TensorSpec } from '../../../common/tensor.ts';

/** Words of the control block (Int32). */
export const CONTROL = { DOORBELL: 0, COMMAND: 1 } as const;
/** The same block as Float64: what the worker measured in its last run. */
export const MEASURED = { OUTPUT_NS: 1, RUN_NS: 2 } as const;
export const CONTROL_BYTES = 64;

export const COMMAND = { LOAD: 1, RUN: 2, STOP: 3, END: 4 } as const;
export type Command = (typeof COMMAND)[keyof typeof COMMAND];

export interface WorkerSetup {
  readonly control: SharedArrayBuffer;
}

/** To the worker, before the doorbell rings for LOAD. */
export interface LoadMessage {
  readonly modelPath: string;
  readonly intraOpThreads: number;
}

/** To the worker, before the doorbell rings for a RUN: where inputs are from now on. */
export interface InputSlabMessage {
  readonly slab: SharedArrayBuffer;
}

/**
 * From the worker. A number is a run that succeeded: which of its two output slabs to read. Two, so
 * that the next run can start while the outputs of the last are still being handed out. After
 * 'load_failed' and 'released' the thread is free.
 */
export type WorkerMessage =
  | number
  | {
      readonly kind: 'loaded';
      readonly inputs: TensorSpec[];
      readonly outputs: TensorSpec[];
      readonly loadMs: number;
    }
  | { readonly kind: 'load_failed'; readonly message: string }
  | { readonly kind: 'output_slab'; readonly index: number; readonly slab: SharedArrayBuffer }
  | { readonly kind: 'run_failed'; readonly code: number; readonly message: string }
  | { readonly kind: 'released' };
