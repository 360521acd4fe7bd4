// A trained network as one ONNX file, the preparation of its inputs included: raw columns go in,
// and imputation, standardisation, one-hot encoding and the names of the classes are part of the
// graph.
import type { Datatype, TensorSpec } from '../common/tensor.ts';
import {
  conv,
  dense,
  floats,
  GraphBuilder,
  int64s,
  kernelToOihw,
  softmax,
  tensorOf,
} from '../model/onnx/graph.ts';
import type { Layer, Network, NetworkWeights } from './algorithms/network.ts';
import type { CategoryFeature, FeaturePlan, NumericFeature } from './columns/features.ts';
import { inputSpecs, MATRIX_INPUT } from './columns/raw-inputs.ts';
import type { TargetScale } from './columns/target.ts';

const LABEL_OUTPUT = 'label';
export const PROBABILITIES_OUTPUT = 'probabilities';
export const PREDICTION_OUTPUT = 'prediction';
/** Key of the file's metadata with the class names, a JSON array in the order of probabilities. */
const CLASSES_METADATA = 'classes';

const BATCH = 'batch';

/** What the outputs mean. */
export type Head =
  | {
      readonly task: 'classification';
      readonly labelType: 'BYTES' | 'INT64';
      readonly classes: readonly string[];
    }
  | { readonly task: 'regression'; readonly scale: TargetScale };

export interface Pipeline {
  readonly name: string;
  readonly features: FeaturePlan;
  readonly network: Network;
  readonly weights: NetworkWeights;
  readonly head: Head;
  /** More entries of the file's metadata. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Outputs of the exported model; -1 is the batch. */
export function outputSpecs(head: Head): TensorSpec[] {
  if (head.task === 'regression') {
    return [{ name: PREDICTION_OUTPUT, datatype: 'FP32', shape: [-1, 1] }];
  }
  return [
    { name: LABEL_OUTPUT, datatype: head.labelType, shape: [-1, 1] },
    { name: PROBABILITIES_OUTPUT, datatype: 'FP32', shape: [-1, head.classes.length] },
  ];
}

/** The bytes of model.onnx. */
export function exportOnnx(pipeline: Pipeline): Uint8Array {
  const graph = new GraphBuilder(pipeline.name);
  declare(inputSpecs(pipeline.features), (name, type, dims) => graph.input(name, type, dims));
  const encoded = encodeFeatures(graph, pipeline.features);
  const outputs = addNetwork(graph, encoded, pipeline);
  addHead(graph, outputs, pipeline.head);
  declare(outputSpecs(pipeline.head), (name, type, dims) => graph.output(name, type, dims));
  if (pipeline.head.task === 'classification') {
    graph.metadata(CLASSES_METADATA, JSON.stringify(pipeline.head.classes));
  }
  for (const [key, value] of Object.entries(pipeline.metadata)) graph.metadata(key, value);
  return graph.write();
}

function declare(
  specs: readonly TensorSpec[],
  add: (name: string, datatype: Datatype, dims: (number | string)[]) => void,
): void {
  for (const { name, datatype, shape } of specs) {
    add(
      name,
      datatype,
      shape.map((dim) => (dim < 0 ? BATCH : dim)),
    );
  }
}

/** Raw inputs to [batch, width], in the same order and with the same rounding as encodeRows. */
function encodeFeatures(graph: GraphBuilder, plan: FeaturePlan): string {
  const numeric = plan.features.filter((feature) => feature.kind === 'numeric');
  const categories = plan.features.filter((feature) => feature.kind === 'category');
  const parts: string[] = [];
  if (numeric.length > 0) {
    const names = plan.form === 'matrix' ? [MATRIX_INPUT] : numeric.map(({ name }) => name);
    const imputes = plan.form === 'columns' || numeric.some(({ isNullable }) => isNullable);
    parts.push(standardise(graph, concat(graph, names), numeric, imputes));
  }
  for (const feature of categories) parts.push(oneHot(graph, feature));
  return concat(graph, parts);
}

function concat(graph: GraphBuilder, parts: readonly string[]): string {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return graph.node('Concat', parts, { attributes: { axis: { int: 1 } } });
}

function standardise(
  graph: GraphBuilder,
  x: string,
  features: readonly NumericFeature[],
  imputes: boolean,
): string {
  const row = (values: readonly number[]) => graph.constant(floats(values, [1, values.length]));
  const means = row(features.map(({ mean }) => mean));
  const scales = row(features.map(({ scale }) => scale));
  const present = imputes ? graph.node('Where', [graph.node('IsNaN', [x]), means, x]) : x;
  return graph.node('Mul', [graph.node('Sub', [present, means]), scales]);
}

/**
 * Text to its category's index ('' to that of the most frequent one, unknown to -1) to 0s and a 1.
 */
function oneHot(graph: GraphBuilder, feature: CategoryFeature): string {
  const count = feature.categories.length;
  const indices = [...feature.categories.keys()];
  const index = graph.node('LabelEncoder', [feature.name], {
    domain: 'ai.onnx.ml',
    attributes: {
      keys_strings: { strings: [...feature.categories, ''] },
      values_int64s: { ints: [...indices, feature.mostFrequent] },
      default_int64: { int: -1 },
    },
  });
  const all = graph.constant(tensorOf([1, count], BigInt64Array.from(indices, BigInt)));
  const isIt = graph.node('Equal', [index, all]);
  return graph.node('Cast', [isIt], { attributes: { to: { int: 1 } } });
}

function addNetwork(graph: GraphBuilder, encoded: string, pipeline: Pipeline): string {
  const { layers } = pipeline.network;
  let value = encoded;
  let image: Image | undefined;
  for (const [index, layer] of layers.entries()) {
    if (layer.kind !== 'dense' && image === undefined) value = toNchw(graph, value, layer);
    value = addLayer(graph, value, layer, { image, weights: pipeline.weights[index] });
    image = imageAfter(layer);
  }
  return value;
}

/** What the value before a layer is, when it is an image [batch, channels, height, width]. */
interface Image {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

function imageAfter(layer: Layer): Image | undefined {
  switch (layer.kind) {
    case 'dense':
      return undefined;
    case 'conv':
      return { height: layer.height, width: layer.width, channels: layer.filters };
    case 'pool':
      return {
        height: Math.floor(layer.height / 2),
        width: Math.floor(layer.width / 2),
        channels: layer.channels,
      };
  }
}

/** [batch, height * width * channels] to the [batch, channels, height, width] that ONNX wants. */
function toNchw(graph: GraphBuilder, x: string, { height, width, channels }: Image): string {
  const shape = graph.constant(int64s([-1, height, width, channels]));
  const nhwc = graph.node('Reshape', [x, shape]);
  return graph.node('Transpose', [nhwc], { attributes: { perm: { ints: [0, 3, 1, 2] } } });
}

function addLayer(
  graph: GraphBuilder,
  x: string,
  layer: Layer,
  { image, weights }: { image: Image | undefined; weights: NetworkWeights[number] },
): string {
  if (layer.kind === 'pool') {
    const attributes = { kernel_shape: { ints: [2, 2] }, strides: { ints: [2, 2] } };
    return graph.node('MaxPool', [x], { attributes });
  }
  if (weights === undefined) throw new Error(`layer ${layer.kind} without weights`);
  const bias = floats(weights.bias);
  let sums: string;
  if (layer.kind === 'conv') {
    const dims = [layer.size, layer.size, layer.channels, layer.filters];
    const kernel = kernelToOihw(weights.kernel, dims);
    sums = conv(graph, x, kernel, bias, { strides: [1, 1], padding: 'SAME_UPPER' });
  } else {
    const flat = image === undefined ? x : graph.node('Flatten', [x]);
    const rows = image === undefined ? weights.kernel : rowsToNchw(weights.kernel, image);
    sums = dense(graph, flat, floats(rows, [layer.inputs, layer.units]), bias);
  }
  return layer.activation === 'relu' ? graph.node('Relu', [sums]) : sums;
}

/**
 * Reorders a dense kernel's rows from TensorFlow's order of an image (height, width, channels) to
 * ONNX's (channels, height, width), which saves a transposition at each call.
 */
function rowsToNchw(kernel: Float32Array, { height, width, channels }: Image): Float32Array {
  const positions = height * width;
  const units = kernel.length / (positions * channels);
  const moved = new Float32Array(kernel.length);
  for (let position = 0; position < positions; position++) {
    for (let channel = 0; channel < channels; channel++) {
      const from = (position * channels + channel) * units;
      moved.set(kernel.subarray(from, from + units), (channel * positions + position) * units);
    }
  }
  return moved;
}

function addHead(graph: GraphBuilder, outputs: string, head: Head): void {
  if (head.task === 'regression') {
    const scaled = graph.node('Mul', [outputs, graph.constant(floats([head.scale.deviation]))]);
    const mean = graph.constant(floats([head.scale.mean]));
    graph.node('Add', [scaled, mean], { output: PREDICTION_OUTPUT });
    return;
  }
  softmax(graph, outputs, PROBABILITIES_OUTPUT);
  const attributes = { axis: { int: 1 }, keepdims: { int: 1 } };
  const best = graph.node('ArgMax', [outputs], { attributes });
  const { classes, labelType } = head;
  const labels =
    labelType === 'BYTES'
      ? tensorOf([classes.length], classes)
      : tensorOf([classes.length], BigInt64Array.from(classes, BigInt));
  graph.node('Gather', [graph.constant(labels), best], { output: LABEL_OUTPUT });
}
