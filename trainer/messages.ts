// What trainer and training process say to each other over Node's IPC channel ('advanced'
// serialization: structured clones, so typed arrays stay typed arrays). Rows are acknowledged a
// batch at a time, so that no more than a few batches wait in between.
import type { TrainSpec } from '../catalog/documents.ts';
import type { TensorSpec } from '../common/tensor.ts';
import type { Column } from '../stores/datasets/datasets.ts';
import type { PackedBatch } from './columns/packed.ts';
import type { BackendName } from './tfjs/backend.ts';

export interface TrainingRequest {
  readonly spec: TrainSpec;
  /** The columns of each batch: these, then the target. */
  readonly features: readonly Column[];
  readonly target: Column;
  /** Where the training process writes the ONNX file; its folder is there. */
  readonly modelPath: string;
  /** See tfjs/backend.ts. */
  readonly nativeModulePath?: string | undefined;
  readonly backend?: BackendName | undefined;
}

export type ToTraining =
  | { readonly kind: 'start'; readonly request: TrainingRequest }
  | { readonly kind: 'rows'; readonly batch: PackedBatch }
  /** No more rows come: train. */
  | { readonly kind: 'train' }
  | { readonly kind: 'cancel' };

export interface TrainingResult {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly task: 'classification' | 'regression';
  readonly backend: BackendName;
  readonly metrics: Readonly<Record<string, number>>;
  readonly heldOutRows: readonly number[];
}

export type FromTraining =
  /** It takes another batch. */
  | { readonly kind: 'next' }
  | {
      readonly kind: 'epoch';
      readonly epoch: number;
      readonly metrics: Readonly<Record<string, number>>;
    }
  | { readonly kind: 'export' }
  /** The file is written whole. */
  | { readonly kind: 'done'; readonly result: TrainingResult }
  | { readonly kind: 'failed'; readonly code: number; readonly message: string };
