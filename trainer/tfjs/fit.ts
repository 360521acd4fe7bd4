// The training loop: mini-batches in a seeded order, Adam, and after each epoch the metrics on the
// training rows (as they went by) and on the held-out ones. It computes on the thread that it is
// on, and lets that thread's other events run between batches.
import * as tf from '@tensorflow/tfjs-core';
import { failedPrecondition, type StatusError } from '../../common/status.ts';
import type { Network } from '../algorithms/network.ts';
import { createRandom, type Random, shuffle } from '../random.ts';
import { TfNetwork } from './layers.ts';

/** Rows of a forward pass that needs no gradients. */
const EVALUATION_ROWS = 256;
/**
 * Mean loss over the training rows after the last epoch, at most: nats, or deviations squared. A
 * network that is wrong by more has not learned, it has diverged: FAILED_PRECONDITION.
 */
export const MAX_FINAL_LOSS = 1e6;

/** Encoded rows with what is to be learned of each. */
export interface Samples {
  readonly rowCount: number;
  /** Row major, rowCount x width. */
  readonly features: Float32Array;
  /** Class indices for a classification; for a regression numbers in the target's deviations. */
  readonly targets: Int32Array | Float32Array;
}

export interface FitOptions {
  readonly task: 'classification' | 'regression';
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly seed: number;
  /** The target's standard deviation, to give mae in its unit; for a regression. */
  readonly deviation: number;
}

/** loss, and accuracy or mae; those on held-out rows start with val_. */
export type Metrics = Readonly<Record<string, number>>;

export interface FitEvents {
  /** After each epoch, counted from 1. */
  onEpoch(epoch: number, metrics: Metrics): void;
  /** Between batches, often: lets other events run; throws to end the training. */
  pause(): Promise<void>;
}

/**
 * The network is the caller's to dispose.
 * @throws FAILED_PRECONDITION when the loss diverges, or is not finite on the held-out rows.
 */
export async function fitNetwork(
  network: Network,
  train: Samples,
  heldOut: Samples,
  options: FitOptions,
  events: FitEvents,
): Promise<{ readonly trained: TfNetwork; readonly metrics: Metrics }> {
  const random = createRandom(options.seed);
  const trained = new TfNetwork(network, random);
  const optimizer = tf.train.adam(options.learningRate);
  const order = Int32Array.from({ length: train.rowCount }, (_, row) => row);
  let metrics: Metrics = {};
  try {
    for (let epoch = 1; epoch <= options.epochs; epoch++) {
      const own = await runEpoch({ trained, optimizer, options, events, order, random }, train);
      const held = await evaluate(trained, heldOut, options, events);
      metrics = { ...own, ...prefixed('val_', held) };
      if (!Number.isFinite(own.loss)) throw diverged(own.loss, `in epoch ${epoch}`, options);
      events.onEpoch(epoch, metrics);
    }
    await checkEnd({ trained, train, heldOutLoss: metrics.val_loss ?? 0 }, options, events);
    return { trained, metrics };
  } catch (error) {
    trained.dispose();
    throw error;
  } finally {
    optimizer.dispose();
  }
}

interface End {
  readonly trained: TfNetwork;
  readonly train: Samples;
  readonly heldOutLoss: number;
}

/** A loss of before the last steps, or on rows far outside of the others, proves nothing alone. */
async function checkEnd(
  { trained, train, heldOutLoss }: End,
  options: FitOptions,
  events: FitEvents,
): Promise<void> {
  if (heldOutLoss <= MAX_FINAL_LOSS) return;
  const { loss } = await evaluate(trained, train, options, events);
  if (!(loss <= MAX_FINAL_LOSS)) throw diverged(loss, 'after the last epoch', options);
  if (Number.isFinite(heldOutLoss)) return;
  throw failedPrecondition(
    `the loss on the held-out rows is ${heldOutLoss}: their features lie too far outside of ` +
      'those of the training rows; leave such rows out, or take another seed',
  );
}

interface Run {
  readonly trained: TfNetwork;
  readonly optimizer: tf.Optimizer;
  readonly options: FitOptions;
  readonly events: FitEvents;
  readonly order: Int32Array;
  readonly random: Random;
}

async function runEpoch(run: Run, train: Samples): Promise<{ readonly loss: number } & Metrics> {
  const { trained, optimizer, options, events } = run;
  const order = shuffle(run.order, run.random);
  const sums = new Sums(options);
  for (let start = 0; start < order.length; start += options.batchSize) {
    const batch = takeRows(train, order.subarray(start, start + options.batchSize));
    const outputs = step(trained, optimizer, batch, options);
    sums.add(outputs, batch.targets, trained.network.outputs);
    await events.pause();
  }
  return sums.metrics();
}

/** One descent; returns the outputs before it. */
function step(
  trained: TfNetwork,
  optimizer: tf.Optimizer,
  batch: Samples,
  options: FitOptions,
): Float32Array {
  return tf.tidy(() => {
    const x = tf.tensor2d(batch.features, [batch.rowCount, trained.network.inputs]);
    let outputs: tf.Tensor2D | undefined;
    const { grads } = tf.variableGrads(() => {
      outputs = tf.keep(trained.forward(x));
      return lossOf(outputs, batch.targets, options.task);
    }, trained.variables());
    optimizer.applyGradients(grads);
    const values = Float32Array.from(outputs?.dataSync() ?? []);
    outputs?.dispose();
    return values;
  });
}

function lossOf(outputs: tf.Tensor2D, targets: Samples['targets'], task: string): tf.Scalar {
  if (task === 'regression') {
    const wanted = tf.tensor2d(Float32Array.from(targets), [targets.length, 1]);
    return tf.mean(tf.squaredDifference(outputs, wanted));
  }
  const hot = tf.oneHot(tf.tensor1d(Int32Array.from(targets), 'int32'), outputs.shape[1]);
  const logs = tf.logSoftmax(outputs);
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.cast(hot, 'float32'), logs), 1)));
}

async function evaluate(
  trained: TfNetwork,
  samples: Samples,
  options: FitOptions,
  events: FitEvents,
): Promise<{ readonly loss: number } & Metrics> {
  const sums = new Sums(options);
  for (let start = 0; start < samples.rowCount; start += EVALUATION_ROWS) {
    const batch = sliceRows(samples, start, trained.network.inputs);
    const outputs = predictBatch(trained, batch);
    sums.add(outputs, batch.targets, trained.network.outputs);
    await events.pause();
  }
  return sums.metrics();
}

/** The network's outputs of all rows, row major: logits, or numbers in the target's deviations. */
export function predict(trained: TfNetwork, samples: Samples): Float32Array {
  const outputs = new Float32Array(samples.rowCount * trained.network.outputs);
  for (let start = 0; start < samples.rowCount; start += EVALUATION_ROWS) {
    const batch = sliceRows(samples, start, trained.network.inputs);
    outputs.set(predictBatch(trained, batch), start * trained.network.outputs);
  }
  return outputs;
}

/** [rows, classes] row major, as TensorFlow.js's softmax gives them. */
export function softmaxRows(logits: Float32Array, classes: number): Float32Array {
  const shape: [number, number] = [logits.length / classes, classes];
  return tf.tidy(() => Float32Array.from(tf.softmax(tf.tensor2d(logits, shape)).dataSync()));
}

function predictBatch(trained: TfNetwork, batch: Samples): Float32Array {
  return tf.tidy(() => {
    const x = tf.tensor2d(batch.features, [batch.rowCount, trained.network.inputs]);
    return Float32Array.from(trained.forward(x).dataSync());
  });
}

function takeRows(samples: Samples, rows: Int32Array): Samples {
  const width = samples.features.length / samples.rowCount;
  const features = new Float32Array(rows.length * width);
  for (const [index, row] of rows.entries()) {
    features.set(samples.features.subarray(row * width, (row + 1) * width), index * width);
  }
  const pick = (row: number) => samples.targets[row] ?? 0;
  const targets =
    samples.targets instanceof Int32Array ? rows.map(pick) : Float32Array.from(rows, pick);
  return { rowCount: rows.length, features, targets };
}

function sliceRows(samples: Samples, start: number, width: number): Samples {
  const end = Math.min(start + EVALUATION_ROWS, samples.rowCount);
  return {
    rowCount: end - start,
    features: samples.features.slice(start * width, end * width),
    targets: samples.targets.slice(start, end),
  };
}

/** Adds up loss and accuracy, or loss and absolute error, from a network's outputs. */
class Sums {
  readonly #options: FitOptions;
  #rows = 0;
  #loss = 0;
  #score = 0;

  constructor(options: FitOptions) {
    this.#options = options;
  }

  add(outputs: Float32Array, targets: Samples['targets'], width: number): void {
    const isClass = this.#options.task === 'classification';
    for (let row = 0; row < targets.length; row++) {
      const target = targets[row] ?? 0;
      if (isClass) this.#addClass(outputs.subarray(row * width, (row + 1) * width), target);
      else this.#addNumber((outputs[row] ?? 0) - target);
    }
    this.#rows += targets.length;
  }

  #addClass(logits: Float32Array, target: number): void {
    let most = Number.NEGATIVE_INFINITY;
    let best = -1;
    for (let index = 0; index < logits.length; index++) {
      const logit = logits[index] ?? Number.NaN;
      if (logit > most) {
        most = logit;
        best = index;
      }
    }
    let sum = 0;
    for (const logit of logits) sum += Math.exp(logit - most);
    this.#loss += Math.log(sum) + most - (logits[target] ?? Number.NaN);
    if (best === target) this.#score += 1;
  }

  #addNumber(error: number): void {
    this.#loss += error * error;
    this.#score += Math.abs(error) * this.#options.deviation;
  }

  metrics(): { readonly loss: number } & Metrics {
    const score = this.#score / this.#rows;
    const loss = this.#loss / this.#rows;
    return this.#options.task === 'classification'
      ? { loss, accuracy: score }
      : { loss, mae: score };
  }
}

function prefixed(prefix: string, metrics: Metrics): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([key, value]) => [prefix + key, value]));
}

function diverged(loss: number, when: string, { learningRate }: FitOptions): StatusError {
  const became = Number.isFinite(loss) ? `is ${loss.toPrecision(3)}` : `became ${loss}`;
  return failedPrecondition(
    `training diverged: the loss ${became} ${when}: lower the learning rate, which is ` +
      `${learningRate}`,
  );
}
