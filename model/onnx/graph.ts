// Builds an ONNX model a node at a time: names are made up where none is given, and each call
// returns the name of what it made, so that a network reads as the calls that it is.
import { invalidArgument } from '../../common/status.ts';
import { type Datatype, elementCount } from '../../common/tensor.ts';
import {
  type OnnxAttribute,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValueInfo,
  writeOnnx,
} from './writer.ts';

type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

const DATATYPE_OF_ARRAY: Readonly<Record<string, Exclude<Datatype, 'BYTES'>>> = {
  Float32Array: 'FP32',
  Float64Array: 'FP64',
  Int8Array: 'INT8',
  Int16Array: 'INT16',
  Int32Array: 'INT32',
  BigInt64Array: 'INT64',
  Uint8Array: 'UINT8',
  Uint16Array: 'UINT16',
  Uint32Array: 'UINT32',
  BigUint64Array: 'UINT64',
};

/** A tensor of the datatype that the array has; texts become BYTES. Shares the array's memory. */
export function tensorOf(
  dims: readonly number[],
  data: TypedArray | readonly string[],
): OnnxTensor {
  if (!ArrayBuffer.isView(data)) return { datatype: 'BYTES', dims, strings: data };
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { datatype: DATATYPE_OF_ARRAY[data[Symbol.toStringTag]] ?? 'UINT8', dims, bytes };
}

/** A vector of int64, as the shape and axes inputs of many operators are. */
export function int64s(values: readonly number[]): OnnxTensor {
  return tensorOf([values.length], BigInt64Array.from(values, BigInt));
}

/** A vector of floats; `dims` where it is to be something else than a vector. */
export function floats(
  values: readonly number[] | Float32Array,
  dims: readonly number[] = [values.length],
): OnnxTensor {
  return tensorOf(dims, values instanceof Float32Array ? values : Float32Array.from(values));
}

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** '' for ONNX's own, the default; 'ai.onnx.ml' for encoders and the like. */
  readonly domain?: string;
  /** Name of the output; made up when absent. */
  readonly output?: string;
}

export class GraphBuilder {
  readonly #graphName: string;
  readonly #producer: { readonly name: string; readonly version: string };
  readonly #inputs: OnnxValueInfo[] = [];
  readonly #outputs: OnnxValueInfo[] = [];
  readonly #nodes: OnnxNode[] = [];
  readonly #initializers = new Map<string, OnnxTensor>();
  readonly #metadata = new Map<string, string>();
  #made = 0;

  constructor(graphName: string, producer = { name: 'torus', version: '' }) {
    this.#graphName = graphName;
    this.#producer = producer;
  }

  /** `dims`: a number is fixed, a name ('batch') is open. Returns the name. */
  input(name: string, datatype: Datatype, dims: readonly (number | string)[]): string {
    this.#inputs.push({ name, datatype, dims });
    return name;
  }

  /** Declares a value that was made under this name an output of the model. */
  output(name: string, datatype: Datatype, dims: readonly (number | string)[]): void {
    this.#outputs.push({ name, datatype, dims });
  }

  /** A constant: a weight, a shape, a table. Returns its name. */
  constant(tensor: OnnxTensor, name: string = this.#name('constant')): string {
    if (this.#initializers.has(name)) throw invalidArgument(`ONNX value '${name}' is made twice`);
    this.#initializers.set(name, tensor);
    return name;
  }

  /** A node with one output, whose name it returns. */
  node(type: string, inputs: readonly string[], options: NodeOptions = {}): string {
    const output = options.output ?? this.#name(type);
    this.nodes(type, inputs, [output], options);
    return output;
  }

  /** A node with these outputs; '' for one that is not wanted. */
  nodes(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    options: Omit<NodeOptions, 'output'> = {},
  ): void {
    const { domain = '', attributes = {} } = options;
    const name = `${type}_${this.#nodes.length}`;
    this.#nodes.push({ type, domain, name, inputs, outputs, attributes });
  }

  /** Goes into the file's metadata_props. */
  metadata(key: string, value: string): void {
    this.#metadata.set(key, value);
  }

  build(): OnnxModel {
    return {
      graphName: this.#graphName,
      inputs: this.#inputs,
      outputs: this.#outputs,
      nodes: this.#nodes,
      initializers: this.#initializers,
      producer: this.#producer,
      metadata: this.#metadata,
    };
  }

  /** The file. @throws INVALID_ARGUMENT where the model contradicts itself. */
  write(): Uint8Array {
    return writeOnnx(this.build());
  }

  #name(what: string): string {
    return `${what}:${this.#made++}`;
  }
}

/**
 * x [batch, in] times kernel [in, units] plus bias [units]: a dense layer as TensorFlow keeps it.
 * Returns the name of [batch, units].
 */
export function dense(
  graph: GraphBuilder,
  x: string,
  kernel: OnnxTensor,
  bias: OnnxTensor,
  output?: string,
): string {
  const inputs = [x, graph.constant(kernel), graph.constant(bias)];
  return graph.node('Gemm', inputs, output === undefined ? {} : { output });
}

/**
 * NCHW x with kernel [out, in, height, width]; padding as TensorFlow's 'same' (SAME_UPPER) or
 * 'valid'.
 */
export function conv(
  graph: GraphBuilder,
  x: string,
  kernel: OnnxTensor,
  bias: OnnxTensor,
  options: { readonly strides: readonly number[]; readonly padding: 'SAME_UPPER' | 'VALID' },
): string {
  const attributes = {
    kernel_shape: { ints: kernel.dims.slice(2) },
    strides: { ints: options.strides },
    auto_pad: { string: options.padding },
  };
  return graph.node('Conv', [x, graph.constant(kernel), graph.constant(bias)], { attributes });
}

/** Exponentials over the last axis, summing to 1. */
export function softmax(graph: GraphBuilder, x: string, output?: string): string {
  const attributes = { axis: { int: -1 } };
  return graph.node('Softmax', [x], output === undefined ? { attributes } : { attributes, output });
}

/** HWIO (TensorFlow) to OIHW (ONNX): a convolution kernel's floats, moved, not shared. */
export function kernelToOihw(hwio: Float32Array, dims: readonly number[]): OnnxTensor {
  const [height = 0, width = 0, input = 0, output = 0] = dims;
  const moved = new Float32Array(elementCount(dims));
  let from = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let i = 0; i < input; i++) {
        for (let o = 0; o < output; o++) {
          moved[((o * input + i) * height + y) * width + x] = hwio[from++] ?? 0;
        }
      }
    }
  }
  return floats(moved, [output, input, height, width]);
}
