// A training job from its rows to its ONNX file, as the training process runs it: plan the target,
// split, plan the features, fit, export, compare. Everything that a job can fail of in its data or
// settings is thrown from here as a StatusError.

import type { TrainSpec } from '../catalog/documents.ts';
import { Code, invalidArgument, StatusError } from '../common/status.ts';
import type { TensorSpec } from '../common/tensor.ts';
import { cnn } from './algorithms/cnn.ts';
import { linear } from './algorithms/linear.ts';
import { mlp } from './algorithms/mlp.ts';
import { checkNetwork, type Network } from './algorithms/network.ts';
import { encodeRows, type FeaturePlan, planFeatures } from './columns/features.ts';
import { inputSpecs } from './columns/raw-inputs.ts';
import { splitRows } from './columns/split.ts';
import type { Table } from './columns/table.ts';
import { planTarget, scaleTarget, type Target } from './columns/target.ts';
import { compareWithRuntime } from './equivalence.ts';
import { exportOnnx, type Head, outputSpecs } from './export.ts';
import {
  type FitOptions,
  fitNetwork,
  type Metrics,
  predict,
  type Samples,
  softmaxRows,
} from './tfjs/fit.ts';
import type { TfNetwork } from './tfjs/layers.ts';

export interface TrainedModel {
  /** Bytes of model.onnx. */
  readonly onnx: Uint8Array;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly task: 'classification' | 'regression';
  /** loss, accuracy or mae, the same of held-out rows with val_, max_abs_difference, rows. */
  readonly metrics: Metrics;
  /** Held-out rows by their number from 0 in the data set version's order. */
  readonly heldOutRows: readonly number[];
}

export interface TrainingEvents {
  /** After each epoch, counted from 1. */
  onEpoch(epoch: number, metrics: Metrics): void;
  /** Training is over, the export begins. */
  onExport(): void;
  /** Lets other events run; throws to end the job. */
  pause(): Promise<void>;
}

/** The TensorFlow.js backend must have been started. @throws StatusError with the job's reason. */
export async function trainModel(
  spec: TrainSpec,
  table: Table,
  events: TrainingEvents,
): Promise<TrainedModel> {
  const target = planTarget(table, spec.task);
  const strata = target.task === 'classification' ? target.classOf : undefined;
  const split = splitRows(table.rowCount, spec.heldOutRatio, spec.seed, strata);
  const head = headOf(target, table, split.train);
  const features = planFeatures(table, split.train, {
    // Pixels are told apart by what they are, not by how rarely each is set.
    sharesScale: spec.imageShape !== undefined,
  });
  checkNames(features, head);
  const network = checkNetwork(networkOf(spec, features, head), spec.batchSize);
  const samplesOf = (rows: Int32Array): Samples => ({
    rowCount: rows.length,
    features: encodeRows(table, features, rows),
    targets: targetsOf(target, head, rows),
  });
  const heldOut = samplesOf(split.heldOut);
  const options = fitOptions(spec, head);
  const { trained, metrics } = await fitNetwork(
    network,
    samplesOf(split.train),
    heldOut,
    options,
    events,
  );
  try {
    events.onExport();
    await events.pause();
    const onnx = exportOnnx({
      name: spec.model,
      features,
      network,
      weights: trained.weights(),
      head,
      metadata: { algorithm: spec.algorithm, task: head.task, target: spec.target },
    });
    const outputs = expectedOutputs(trained, heldOut, head);
    const expected = { table, features, head, rows: split.heldOut, outputs };
    const difference = await compareWithRuntime(onnx, expected);
    return {
      onnx,
      inputs: inputSpecs(features),
      outputs: outputSpecs(head),
      task: head.task,
      metrics: {
        ...metrics,
        max_abs_difference: difference,
        train_rows: split.train.length,
        held_out_rows: split.heldOut.length,
      },
      heldOutRows: [...split.heldOut],
    };
  } finally {
    trained.dispose();
  }
}

function headOf(target: Target, table: Table, trainRows: Int32Array): Head {
  if (target.task === 'classification') return target;
  const { name } = table.target.column;
  return { task: 'regression', scale: scaleTarget(name, target, trainRows) };
}

/** Inputs and outputs of the exported graph share one space of names. */
function checkNames(features: FeaturePlan, head: Head): void {
  const outputs = new Set(outputSpecs(head).map(({ name }) => name));
  const clash = inputSpecs(features).find(({ name }) => outputs.has(name));
  if (clash === undefined) return;
  throw invalidArgument(
    `feature '${clash.name}' has the name of an output of the model: rename the column ` +
      'or leave it out of the features',
  );
}

function networkOf(spec: TrainSpec, features: FeaturePlan, head: Head): Network {
  const outputs = head.task === 'classification' ? head.classes.length : 1;
  switch (spec.algorithm) {
    case 'linear':
      return linear(features.width, outputs);
    case 'mlp':
      return mlp(features.width, spec.hiddenUnits, outputs);
    case 'cnn':
      if (features.form !== 'matrix') {
        throw invalidArgument(
          'algorithm cnn needs features that are all numbers with none missing: pixels of images',
        );
      }
      return cnn(features.width, spec.imageShape, spec.hiddenUnits, outputs);
  }
}

function targetsOf(target: Target, head: Head, rows: Int32Array): Samples['targets'] {
  if (target.task === 'classification') return rows.map((row) => target.classOf[row] ?? 0);
  if (head.task !== 'regression') throw new StatusError(Code.INTERNAL, 'head of another task');
  const { mean, deviation } = head.scale;
  return Float32Array.from(rows, (row) => ((target.values[row] ?? 0) - mean) / deviation);
}

function fitOptions(spec: TrainSpec, head: Head): FitOptions {
  const { epochs, batchSize, learningRate, seed } = spec;
  const deviation = head.task === 'regression' ? head.scale.deviation : 1;
  return { task: head.task, epochs, batchSize, learningRate, seed, deviation };
}

/** What the exported model has to answer for the held-out rows. */
function expectedOutputs(trained: TfNetwork, heldOut: Samples, head: Head): Float32Array {
  const outputs = predict(trained, heldOut);
  if (head.task === 'classification') return softmaxRows(outputs, head.classes.length);
  const { mean, deviation } = head.scale;
  return outputs.map((value) => Math.fround(value * deviation) + mean);
}
