// A network on TensorFlow.js: its weights as variables, and the forward pass through them.
import * as tf from '@tensorflow/tfjs-core';
import {
  type Activation,
  type Layer,
  type Network,
  type NetworkWeights,
  weightShapes,
} from '../algorithms/network.ts';
import type { Random } from '../random.ts';

interface Variables {
  readonly kernel: tf.Variable;
  readonly bias: tf.Variable;
}

/** Weights that hold memory of the backend: dispose() gives it back. */
export class TfNetwork {
  readonly network: Network;
  readonly #variables: readonly (Variables | undefined)[];

  /** Weights start at random within He's (relu) or Glorot's bounds, biases at 0. */
  constructor(network: Network, random: Random) {
    this.network = network;
    this.#variables = network.layers.map((layer) => {
      const shapes = weightShapes(layer);
      if (shapes === undefined) return undefined;
      const bound = startBound(layer);
      const count = shapes.kernel.reduce((product, dim) => product * dim, 1);
      const values = Float32Array.from({ length: count }, () => (2 * random() - 1) * bound);
      return {
        kernel: tf.variable(tf.tensor(values, shapes.kernel)),
        bias: tf.variable(tf.zeros(shapes.bias)),
      };
    });
  }

  variables(): tf.Variable[] {
    return this.#variables.flatMap((pair) => (pair === undefined ? [] : [pair.kernel, pair.bias]));
  }

  /** x [batch, inputs] to [batch, outputs]: logits of the classes, or the number. */
  forward(x: tf.Tensor2D): tf.Tensor2D {
    const rows = x.shape[0];
    let value: tf.Tensor = x;
    for (const [index, layer] of this.network.layers.entries()) {
      value = apply(layer, this.#variables[index], value, rows);
    }
    return value as tf.Tensor2D;
  }

  /** Copies, in the shapes of weightShapes. */
  weights(): NetworkWeights {
    return this.#variables.map((pair) =>
      pair === undefined
        ? undefined
        : {
            kernel: Float32Array.from(pair.kernel.dataSync()),
            bias: Float32Array.from(pair.bias.dataSync()),
          },
    );
  }

  dispose(): void {
    for (const variable of this.variables()) variable.dispose();
  }
}

function startBound(layer: Layer): number {
  if (layer.kind === 'pool') return 0;
  const area = layer.kind === 'conv' ? layer.size * layer.size : 1;
  const fanIn = area * (layer.kind === 'conv' ? layer.channels : layer.inputs);
  const fanOut = area * (layer.kind === 'conv' ? layer.filters : layer.units);
  return layer.activation === 'relu' ? Math.sqrt(6 / fanIn) : Math.sqrt(6 / (fanIn + fanOut));
}

function apply(layer: Layer, pair: Variables | undefined, x: tf.Tensor, rows: number): tf.Tensor {
  if (layer.kind === 'pool') {
    const image: tf.Tensor4D = tf.reshape(x, [rows, layer.height, layer.width, layer.channels]);
    return tf.maxPool(image, 2, 2, 'valid');
  }
  if (pair === undefined) throw new Error(`layer ${layer.kind} without weights`);
  if (layer.kind === 'conv') {
    const image: tf.Tensor4D = tf.reshape(x, [rows, layer.height, layer.width, layer.channels]);
    const sums = tf.conv2d(image, pair.kernel as tf.Tensor4D, 1, 'same');
    return activate(tf.add(sums, pair.bias), layer.activation);
  }
  const flat: tf.Tensor2D = tf.reshape(x, [rows, layer.inputs]);
  return activate(tf.add(tf.matMul(flat, pair.kernel as tf.Tensor2D), pair.bias), layer.activation);
}

function activate(x: tf.Tensor, activation: Activation): tf.Tensor {
  return activation === 'relu' ? tf.relu(x) : x;
}
