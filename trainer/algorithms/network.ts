// A network as plain data: what its layers are and how large. The algorithms choose one,
// TensorFlow.js trains it, the exporter writes it as ONNX; none of them needs to know the others.
import { invalidArgument } from '../../common/status.ts';

export type Activation = 'relu' | 'none';

/** [batch, inputs] to [batch, units]. */
export interface DenseLayer {
  readonly kind: 'dense';
  readonly inputs: number;
  readonly units: number;
  readonly activation: Activation;
}

/**
 * [batch, height, width, channels] to [batch, height, width, filters]: stride 1, padded with zeros.
 */
export interface ConvLayer {
  readonly kind: 'conv';
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly filters: number;
  /** Height and width of the kernel. */
  readonly size: number;
  readonly activation: Activation;
}

/** The largest of each 2 x 2; an odd last row or column is dropped. */
export interface PoolLayer {
  readonly kind: 'pool';
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export type Layer = DenseLayer | ConvLayer | PoolLayer;

/** Layers in order; conv and pool come before every dense one. */
export interface Network {
  /** Numbers a row, before the first layer. */
  readonly inputs: number;
  /** Logits of the classes, or 1 for a regression. */
  readonly outputs: number;
  readonly layers: readonly Layer[];
}

/**
 * A layer's weights; none for pool. Row major: dense [inputs, units], conv [size, size, in, out].
 */
export interface LayerWeights {
  readonly kernel: Float32Array;
  readonly bias: Float32Array;
}

/** The weights of each layer, undefined where it has none. */
export type NetworkWeights = readonly (LayerWeights | undefined)[];

/** Trained in memory with its optimizer's two moments. More: INVALID_ARGUMENT. */
export const MAX_WEIGHTS = 20_000_000;
/**
 * What one batch may take between the layers, patches of a convolution included. With its gradients
 * TensorFlow.js holds some ten times as much, and WebAssembly has 4 GiB. More: INVALID_ARGUMENT.
 */
export const MAX_ACTIVATION_BYTES = 128 * 1024 * 1024;

/** Shapes of kernel and bias; undefined for a layer without weights. */
export function weightShapes(layer: Layer): { kernel: number[]; bias: number[] } | undefined {
  switch (layer.kind) {
    case 'dense':
      return { kernel: [layer.inputs, layer.units], bias: [layer.units] };
    case 'conv':
      return {
        kernel: [layer.size, layer.size, layer.channels, layer.filters],
        bias: [layer.filters],
      };
    case 'pool':
      return undefined;
  }
}

/** @throws INVALID_ARGUMENT when it is too large to train, saying what to make smaller. */
export function checkNetwork(network: Network, batchSize: number): Network {
  let weights = 0;
  let numbers = network.inputs;
  for (const layer of network.layers) {
    switch (layer.kind) {
      case 'dense':
        weights += (layer.inputs + 1) * layer.units;
        numbers += layer.units;
        break;
      case 'conv': {
        const patch = layer.size * layer.size * layer.channels;
        weights += (patch + 1) * layer.filters;
        numbers += layer.height * layer.width * (patch + layer.filters);
        break;
      }
      case 'pool':
        numbers += (layer.height * layer.width * layer.channels) / 4;
    }
  }
  if (weights > MAX_WEIGHTS) {
    throw invalidArgument(
      `the network would have ${weights} weights, more than ${MAX_WEIGHTS}: use fewer hidden ` +
        'units or features',
    );
  }
  const batchBytes = numbers * batchSize * Float32Array.BYTES_PER_ELEMENT;
  if (batchBytes > MAX_ACTIVATION_BYTES) {
    const fits = Math.max(1, Math.floor((MAX_ACTIVATION_BYTES / batchBytes) * batchSize));
    throw invalidArgument(
      `a batch of ${batchSize} rows takes ${Math.ceil(batchBytes)} bytes, more than ` +
        `${MAX_ACTIVATION_BYTES}: use a batch size of at most ${fits}`,
    );
  }
  return network;
}

/** Dense layers with relu, then the output layer. */
export function denseStack(inputs: number, hidden: readonly number[], outputs: number): Layer[] {
  const layers: Layer[] = [];
  let width = inputs;
  for (const units of hidden) {
    layers.push({ kind: 'dense', inputs: width, units, activation: 'relu' });
    width = units;
  }
  layers.push({ kind: 'dense', inputs: width, units: outputs, activation: 'none' });
  return layers;
}
