// A loaded model version, as the services see it: requests go in, each is answered exactly once.
// Behind it stand the batcher (decides), the engine's instances (compute) and a clock.
import type { Clock } from '../common/clock.ts';
import type { StatusError } from '../common/status.ts';
import type { Tensor, TensorSpec } from '../common/tensor.ts';
import type { Execution } from '../model/config/policy.ts';
import type { Waiting } from './batcher/request-queue.ts';
import type { Way } from './engines/engine.ts';
import type { InlineEngine } from './engines/load-beside.ts';
import type { Markers } from './engines/marker.ts';

/**
 * A run that takes longer marks the model FAILED: a thread can't be taken back from native code.
 */
export const DEFAULT_MAX_RUN_MS = 60_000;
/**
 * A load that takes longer is given up with DEADLINE_EXCEEDED. Its thread can't be taken back from
 * native code: the version is not loaded again before that is done.
 */
export const DEFAULT_MAX_LOAD_MS = 300_000;
/** Requests that wait for an instance; one more is refused with UNAVAILABLE. */
export const DEFAULT_MAX_QUEUE_SIZE = 1024;
/** Bytes of tensors that wait for an instance; a request above that is refused with UNAVAILABLE. */
export const DEFAULT_MAX_QUEUE_BYTES = 256 * 1024 * 1024;

/** Nanoseconds of the steps of one run, and the size of its batch. */
export interface RunTimings {
  /** The batch's copying of inputs into the slab. */
  readonly computeInputNs: number;
  /** The batch's run, from handing it over until the answer is back. */
  readonly computeInferNs: number;
  /** The batch's outputs, from the runtime's memory to the views handed out. */
  readonly computeOutputNs: number;
  readonly batchRows: number;
}

/** One request's part of a run's outputs. Good, all of it, only until `succeed` returns. */
export interface RowOutputs {
  /** Of this request. */
  readonly rows: number;
  /** From submit until its batch closed. */
  readonly queueNs: number;
  readonly timings: RunTimings;
  /** The whole batch's outputs, in the order of the model's. */
  readonly whole: readonly Tensor[];
  /** This request's bytes are whole[index].bytes from start(index) to end(index). */
  start(index: number): number;
  end(index: number): number;
  /** The same as tensors of this request; views. */
  tensors(): readonly Tensor[];
}

/**
 * One request, already checked against the model's `inputs`: names, datatypes, shapes, byte counts.
 * Exactly one of `succeed` and `fail` is called, once, perhaps before `submit` returns (a full
 * queue, for one); they must not throw. It waits in the batcher itself, nothing is made for it:
 * `deadlineMs`, past which it is not computed, is on the clock of this thread; `sizeBytes` is that
 * of the inputs; `arrivedMs` and `shapeKey` are set by `submit`.
 */
export interface InferRequest extends Waiting {
  /**
   * In the order of the model's inputs; shapes with the batch dimension, where the model has one.
   * BYTES in raw form (u32 length, then the bytes, for each element). The bytes are copied once,
   * when the batch closes; they must not change before the answer.
   */
  readonly inputs: readonly Tensor[];
  /** The batch dimension, 1 to maxBatchSize; 1 for a model without batching (maxBatchSize 0). */
  readonly rows: number;
  succeed(outputs: RowOutputs): void;
  fail(error: StatusError): void;
}

export type ModelState = 'READY' | 'FAILED' | 'STOPPING' | 'STOPPED';

export interface LoadedModel {
  readonly model: string;
  readonly version: number;
  /** As ONNX declares them: with the batch dimension, -1 where open. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** 0: no batching, one request a run. */
  readonly maxBatchSize: number;
  readonly instanceCount: number;
  /** Cost for placement: the larger of 1.5 x the file and the growth of RSS while it was loaded. */
  readonly memoryBytes: number;
  readonly state: ModelState;
  /** Where its runs happen now. */
  readonly way: Way;
  /** For other threads that are to run it inline too. */
  readonly engine: InlineEngine;
  /** Inline runs go on in a worker, without a pause; else nothing happens. */
  leaveInline(reason: string): void;
  /** Requests waiting or running. */
  readonly inFlight: number;
  submit(request: InferRequest): void;
  /**
   * A queued request is answered CANCELLED at once; one that runs keeps its slot and its outcome.
   */
  cancel(request: InferRequest): void;
  /**
   * Takes no more (UNAVAILABLE), runs what is queued, releases the memory, and leaves its threads.
   * After a hung run it resolves without that worker: see ModelFailure.
   */
  stop(): Promise<void>;
}

/**
 * Why a READY model became FAILED. HUNG_RUN: a run passed maxRunMs; its thread can't be ended, and
 * process.exit() meanwhile aborts, so the process is to drain and then end itself. CRASH_LOOP: its
 * workers ended again and again; the rest of the process is well.
 */
export interface ModelFailure {
  readonly kind: 'HUNG_RUN' | 'CRASH_LOOP';
  readonly error: StatusError;
}

/** Why a request failed: the `reason` label of Triton's nv_inference_request_failure, and ours. */
export type FailReason = 'REJECTED' | 'TIMEOUT' | 'CANCELED' | 'BACKEND' | 'OTHER';

/** Why a request was refused that another time would have been taken. */
export type ShedReason = 'queue-full' | 'deadline';

/** Told what happens, for statistics. Called on the hot path: count, and return. */
export interface ModelObserver {
  /** One run that succeeded. */
  batchDone?(requests: number, timings: RunTimings): void;
  /**
   * So many requests of a run that came at one moment; each took `totalNs` from submit until its
   * outputs were ready, `queueNs` of it until its batch closed.
   */
  requestsSucceeded?(requests: number, totalNs: number, queueNs: number): void;
  requestFailed?(reason: FailReason, totalNs: number): void;
  /** Beside requestFailed (REJECTED). */
  requestShed?(reason: ShedReason): void;
  /** Where runs happen from now on, and why not elsewhere ('' where nothing stood in the way). */
  wayChosen?(way: Way, reason: string): void;
  /** A run on zeros failed at load; the model serves nevertheless. */
  warmUpFailed?(reason: string): void;
  /** An instance's worker ended; another takes its place, or the model fails. */
  instanceReplaced?(reason: string): void;
}

export interface LoadModelOptions {
  readonly model: string;
  readonly version: number;
  /** The ONNX file on disk; external data lies beside it. */
  readonly modelPath: string;
  /** 0 (default): the model's inputs have no batch dimension of ours. */
  readonly maxBatchSize?: number;
  readonly preferredBatchSizes?: readonly number[];
  /** How long the oldest request may wait for company while an instance is free. Default 0. */
  readonly maxQueueDelayUs?: number;
  readonly maxQueueSize?: number | undefined;
  readonly maxQueueBytes?: number;
  /** Default 1. Each has its own thread and its own copy of the weights. */
  readonly instanceCount?: number;
  readonly maxRunMs?: number | undefined;
  readonly maxLoadMs?: number | undefined;
  /** Default 1: more help big models on idle machines only. */
  readonly intraOpThreads?: number | undefined;
  /** Default: what createLoadModel was given. */
  readonly execution?: Execution | undefined;
  /** The time of a run follows from its shapes: without that 'auto' is 'worker'. Default false. */
  readonly hasFixedCost?: boolean;
  /**
   * Keeps a marker while the version is loaded; refuses versions that killed the process before.
   */
  readonly quarantine?: Markers;
  readonly clock?: Clock;
  readonly observer?: ModelObserver;
  /**
   * The load fails because a thread is still busy with this version, with this load or an earlier
   * one; `freed` resolves when it is no more.
   */
  readonly onBusy?: (freed: Promise<void>) => void;
  /** Once at most. The model has answered everything UNAVAILABLE by then. */
  readonly onFailed?: (failure: ModelFailure) => void;
}

/**
 * Loads and warms up; resolves READY; server/engines/load-model.ts does it.
 * @throws INVALID_ARGUMENT for a file that ONNX Runtime can't serve, with its reason, and for
 * options that can't be; FAILED_PRECONDITION when the version is in quarantine; UNAVAILABLE when
 * the thread died, or one is still busy with an earlier load; DEADLINE_EXCEEDED past maxLoadMs.
 */
export type LoadModel = (options: LoadModelOptions) => Promise<LoadedModel>;
