// ONNX files from plain data: opset 18 and ai.onnx.ml 3 at IR version 8, which every runtime of the
// last years reads. Field numbers are those of onnx.proto (onnx/onnx). What can't be a valid model
// (a tensor of the wrong size, a name used twice) is refused here rather than by the runtime later.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { invalidArgument } from '../../common/status.ts';
import { type Datatype, elementCount, elementSizeBytes } from '../../common/tensor.ts';
import { elementTypeOf } from './elements.ts';

const IR_VERSION = 8;
/** Versions by domain, '' being ONNX's own operators. */
const OPSETS: ReadonlyMap<string, number> = new Map([
  ['', 18],
  ['ai.onnx.ml', 3],
]);

/** Little endian, row major. */
export type OnnxTensor =
  | {
      readonly datatype: Exclude<Datatype, 'BYTES'>;
      readonly dims: readonly number[];
      readonly bytes: Uint8Array;
    }
  | {
      readonly datatype: 'BYTES';
      readonly dims: readonly number[];
      readonly strings: readonly string[];
    };

/** Which of ONNX's attribute types it is shows in its key: a number alone could be two of them. */
export type OnnxAttribute =
  | { readonly int: number | bigint }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly (number | bigint)[] }
  | { readonly floats: readonly number[] | Float32Array }
  | { readonly strings: readonly string[] }
  | { readonly tensor: OnnxTensor };

export interface OnnxNode {
  readonly type: string;
  /** '' for ONNX's own. */
  readonly domain: string;
  readonly name: string;
  /** '' stands for an optional one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxValueInfo {
  readonly name: string;
  readonly datatype: Datatype;
  /** A number is fixed; a name is open, and the same name has the same size everywhere. */
  readonly dims: readonly (number | string)[];
}

export interface OnnxModel {
  readonly graphName: string;
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  /** In the order of their use: a node's inputs are made before it. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly producer: { readonly name: string; readonly version: string };
  readonly metadata: ReadonlyMap<string, string>;
}

const MAX_MODEL_BYTES = 2 ** 31 - 1;

/**
 * @throws INVALID_ARGUMENT where the model contradicts itself, or is past the 2 GiB that protobuf
 * allows (weights of that size need files of their own, which are not written here).
 */
export function writeOnnx(model: OnnxModel): Uint8Array {
  checkModel(model);
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int64(IR_VERSION);
  text(writer, 2, model.producer.name);
  text(writer, 3, model.producer.version);
  message(writer, 7, () => writeGraph(writer, model));
  for (const [domain, version] of OPSETS) {
    message(writer, 8, () => {
      text(writer, 1, domain);
      writer.tag(2, WireType.Varint).int64(version);
    });
  }
  for (const [key, value] of model.metadata) {
    message(writer, 14, () => {
      text(writer, 1, key);
      text(writer, 2, value);
    });
  }
  return writer.finish();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

function writeGraph(writer: BinaryWriter, model: OnnxModel): void {
  for (const node of model.nodes) message(writer, 1, () => writeNode(writer, node));
  text(writer, 2, model.graphName);
  for (const [name, tensor] of model.initializers) {
    message(writer, 5, () => writeTensor(writer, name, tensor));
  }
  for (const input of model.inputs) message(writer, 11, () => writeValueInfo(writer, input));
  for (const output of model.outputs) message(writer, 12, () => writeValueInfo(writer, output));
}

function writeNode(writer: BinaryWriter, node: OnnxNode): void {
  for (const input of node.inputs) text(writer, 1, input);
  for (const output of node.outputs) text(writer, 2, output);
  text(writer, 3, node.name);
  text(writer, 4, node.type);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(writer, 5, () => writeAttribute(writer, name, attribute));
  }
  if (node.domain !== '') text(writer, 7, node.domain);
}

/** Field 20 is the type: FLOAT 1, INT 2, STRING 3, TENSOR 4, FLOATS 6, INTS 7, STRINGS 8. */
function writeAttribute(writer: BinaryWriter, name: string, attribute: OnnxAttribute): void {
  text(writer, 1, name);
  const type = (value: number) => writer.tag(20, WireType.Varint).int32(value);
  if ('float' in attribute) {
    writer.tag(2, WireType.Bit32).float(attribute.float);
    type(1);
  } else if ('int' in attribute) {
    writer.tag(3, WireType.Varint).int64(attribute.int);
    type(2);
  } else if ('string' in attribute) {
    text(writer, 4, attribute.string);
    type(3);
  } else if ('tensor' in attribute) {
    message(writer, 5, () => writeTensor(writer, '', attribute.tensor));
    type(4);
  } else if ('floats' in attribute) {
    for (const value of attribute.floats) writer.tag(7, WireType.Bit32).float(value);
    type(6);
  } else if ('ints' in attribute) {
    for (const value of attribute.ints) writer.tag(8, WireType.Varint).int64(value);
    type(7);
  } else {
    for (const value of attribute.strings) text(writer, 9, value);
    type(8);
  }
}

function writeTensor(writer: BinaryWriter, name: string, tensor: OnnxTensor): void {
  for (const dim of tensor.dims) writer.tag(1, WireType.Varint).int64(dim);
  writer.tag(2, WireType.Varint).int32(elementTypeOf(tensor.datatype));
  if (tensor.datatype === 'BYTES') {
    for (const value of tensor.strings) text(writer, 6, value);
  }
  if (name !== '') text(writer, 8, name);
  if (tensor.datatype !== 'BYTES') writer.tag(9, WireType.LengthDelimited).bytes(tensor.bytes);
}

/** ValueInfoProto: name, type {tensor_type {elem_type, shape {dim {dim_value or dim_param}}}}. */
function writeValueInfo(writer: BinaryWriter, value: OnnxValueInfo): void {
  const writeDim = (dim: number | string) => {
    if (typeof dim === 'number') writer.tag(1, WireType.Varint).int64(dim);
    else text(writer, 2, dim);
  };
  text(writer, 1, value.name);
  message(writer, 2, () => {
    message(writer, 1, () => {
      writer.tag(1, WireType.Varint).int32(elementTypeOf(value.datatype));
      message(writer, 2, () => {
        for (const dim of value.dims) message(writer, 1, () => writeDim(dim));
      });
    });
  });
}

function checkModel(model: OnnxModel): void {
  const made = new Set<string>();
  const make = (name: string) => {
    if (name === '') throw invalidArgument('an ONNX value needs a name');
    if (made.has(name)) throw invalidArgument(`ONNX value '${name}' is made twice`);
    made.add(name);
  };
  let sizeBytes = 0;
  for (const input of model.inputs) make(input.name);
  for (const [name, tensor] of model.initializers) {
    make(name);
    checkTensor(name, tensor);
    if (tensor.datatype !== 'BYTES') sizeBytes += tensor.bytes.length;
  }
  if (sizeBytes > MAX_MODEL_BYTES) {
    throw invalidArgument(`weights are ${sizeBytes} bytes, one ONNX file holds ${MAX_MODEL_BYTES}`);
  }
  for (const node of model.nodes) {
    for (const input of node.inputs) {
      if (input !== '' && !made.has(input)) {
        throw invalidArgument(`ONNX node ${node.type} uses '${input}' before anything makes it`);
      }
    }
    for (const attribute of Object.values(node.attributes)) {
      if ('tensor' in attribute) checkTensor(`of ${node.type}`, attribute.tensor);
    }
    for (const output of node.outputs) if (output !== '') make(output);
  }
  for (const output of model.outputs) {
    if (!made.has(output.name)) {
      throw invalidArgument(`ONNX output '${output.name}' is not made by any node`);
    }
  }
}

function checkTensor(name: string, tensor: OnnxTensor): void {
  const count = elementCount(tensor.dims);
  const isSize = tensor.dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
  if (!isSize) throw invalidArgument(`tensor ${name} has no valid dims [${tensor.dims.join(',')}]`);
  const [expected, actual, unit] =
    tensor.datatype === 'BYTES'
      ? [count, tensor.strings.length, 'strings']
      : [count * elementSizeBytes(tensor.datatype), tensor.bytes.length, 'bytes'];
  if (expected === actual) return;
  const shape = `${tensor.datatype} [${tensor.dims.join(',')}]`;
  throw invalidArgument(`tensor ${name} ${shape} needs ${expected} ${unit}, got ${actual}`);
}
