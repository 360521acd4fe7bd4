// What an ONNX file says about itself: signature, operators, initializers, files it needs beside
// it. Weights are never copied or looked at. Any bytes are safe to pass: what is not a valid file
// is INVALID_ARGUMENT with the reason. Field numbers are those of onnx.proto (onnx/onnx, IR version
// 10).
import { shownName } from '../../common/names.ts';
import type { Datatype } from '../../common/tensor.ts';
import { isInnerPath } from '../manifest.ts';
import { datatypeOf } from './elements.ts';
import { Fields, MAX_FIELDS } from './fields.ts';

/** Each of these, when exceeded, refuses the file with INVALID_ARGUMENT. */
export const MAX_GRAPH_VALUES = 10_000;
export const MAX_RANK = 64;
export const MAX_GRAPH_DEPTH = 32;
export const MAX_METADATA_BYTES = 16 * 1024 * 1024;
export const MAX_EXTERNAL_FILES = 10_000;

export type OnnxTypeKind = 'tensor' | 'sequence' | 'map' | 'optional' | 'sparse_tensor' | 'other';

/** An input or output of the graph. */
export interface OnnxValue {
  readonly name: string;
  readonly kind: OnnxTypeKind;
  /** TensorProto.DataType; 0 when the kind is no tensor. */
  readonly elementType: number;
  /** Undefined where the Open Inference Protocol has no such datatype. */
  readonly datatype: Datatype | undefined;
  /** -1: open. Undefined: not even the rank is declared. Empty: a scalar. */
  readonly shape: readonly number[] | undefined;
  /** The name of each open dimension, '' for one without; as long as the shape. */
  readonly dimNames: readonly string[];
}

export interface OnnxInitializer {
  readonly name: string;
  readonly elementType: number;
  readonly dims: readonly number[];
  readonly isExternal: boolean;
}

export interface OnnxOperator {
  /** '' for ONNX's own. */
  readonly domain: string;
  readonly type: string;
  /** Nodes of this type, those in subgraphs and functions included. */
  readonly count: number;
}

/** A file beside the model that holds tensors; at least `minSizeBytes` long. */
export interface OnnxExternalFile {
  readonly path: string;
  readonly minSizeBytes: number;
}

export interface OnnxSummary {
  readonly irVersion: number;
  /** Version by domain, '' being ONNX's own operators. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly producer: { readonly name: string; readonly version: string };
  readonly graphName: string;
  /** Without those that an initializer gives a default. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly operators: readonly OnnxOperator[];
  /** Those of the main graph. */
  readonly initializers: readonly OnnxInitializer[];
  readonly externalFiles: readonly OnnxExternalFile[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** What is gathered from the whole file, however deep. */
interface Gathered {
  readonly operators: Map<string, { domain: string; type: string; count: number }>;
  readonly externalBytes: Map<string, number>;
}

interface Graph {
  name: string;
  readonly inputs: OnnxValue[];
  readonly outputs: OnnxValue[];
  readonly initializers: OnnxInitializer[];
}

/** @throws INVALID_ARGUMENT saying what is wrong and where. */
export function readOnnx(bytes: Uint8Array): OnnxSummary {
  const fields = new Fields(bytes, '', { left: MAX_FIELDS });
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const producer = { name: '', version: '' };
  const gathered: Gathered = { operators: new Map(), externalBytes: new Map() };
  let irVersion = 0;
  let metadataBytes = 0;
  let graph: Graph | undefined;
  while (fields.next()) {
    if (fields.number === 1) irVersion = fields.integer();
    else if (fields.number === 2) producer.name = fields.string();
    else if (fields.number === 3) producer.version = fields.string();
    else if (fields.number === 7) {
      if (graph !== undefined) throw fields.error('it has two graphs');
      graph = readGraph(fields.message('graph'), gathered, 0);
    } else if (fields.number === 8) readOpset(fields.message('opset_import'), opsets);
    else if (fields.number === 14) {
      const left = MAX_METADATA_BYTES - metadataBytes;
      const [key, value] = readEntry(fields.message('metadata_props'), left);
      metadataBytes += key.length + value.length;
      metadata.set(key, value);
    } else if (fields.number === 25) readFunction(fields.message('functions'), gathered);
    else fields.skip();
  }
  if (graph === undefined) throw fields.error('it has no graph');
  if (irVersion < 1) throw fields.error('it has no IR version');
  const { name: graphName, outputs, initializers } = graph;
  if (outputs.length === 0) throw fields.error('its graph has no outputs');
  const defaults = new Set(initializers.map((initializer) => initializer.name));
  return {
    irVersion,
    opsets,
    producer,
    graphName,
    inputs: graph.inputs.filter((input) => !defaults.has(input.name)),
    outputs,
    operators: [...gathered.operators.values()],
    initializers,
    externalFiles: [...gathered.externalBytes].map(([path, minSizeBytes]) => ({
      path,
      minSizeBytes,
    })),
    metadata,
  };
}

function readOpset(fields: Fields, opsets: Map<string, number>): void {
  let domain = '';
  let version = 0;
  while (fields.next()) {
    if (fields.number === 1) domain = fields.string();
    else if (fields.number === 2) version = fields.integer();
    else fields.skip();
  }
  // 'ai.onnx' is another way to write the default domain.
  opsets.set(domain === 'ai.onnx' ? '' : domain, version);
}

/** StringStringEntryProto. */
function readEntry(fields: Fields, maxBytes: number): [key: string, value: string] {
  let key = '';
  let value = '';
  while (fields.next()) {
    if (fields.number === 1) key = fields.string();
    else if (fields.number === 2) value = fields.string(maxBytes);
    else fields.skip();
  }
  return [key, value];
}

function readGraph(fields: Fields, gathered: Gathered, depth: number): Graph {
  if (depth > MAX_GRAPH_DEPTH) throw fields.error(`graphs nest over ${MAX_GRAPH_DEPTH} deep`);
  const graph: Graph = { name: '', inputs: [], outputs: [], initializers: [] };
  while (fields.next()) {
    if (fields.number === 1) readNode(fields.message('node'), gathered, depth);
    else if (fields.number === 2) graph.name = fields.string();
    else if (fields.number === 5) {
      const initializer = readTensor(fields.message('initializer'), gathered);
      // Only the main graph's are reported; a subgraph's can't be default values of inputs.
      if (depth === 0) graph.initializers.push(initializer);
    } else if (fields.number === 11 || fields.number === 12) {
      const [values, name] =
        fields.number === 11 ? [graph.inputs, 'input'] : [graph.outputs, 'output'];
      if (values.length >= MAX_GRAPH_VALUES) {
        throw fields.error(`it has over ${MAX_GRAPH_VALUES} ${name}s`);
      }
      values.push(readValue(fields.message(name)));
    } else if (fields.number === 15) {
      readSparseTensor(fields.message('sparse_initializer'), gathered);
    } else fields.skip();
  }
  return graph;
}

function readNode(fields: Fields, gathered: Gathered, depth: number): void {
  let domain = '';
  let type = '';
  while (fields.next()) {
    if (fields.number === 4) type = fields.string();
    else if (fields.number === 7) domain = fields.string();
    else if (fields.number === 5) readAttribute(fields.message('attribute'), gathered, depth);
    else fields.skip();
  }
  if (type === '') throw fields.error('a node has no operator type');
  if (domain === 'ai.onnx') domain = '';
  const key = `${domain}\0${type}`;
  const known = gathered.operators.get(key);
  if (known === undefined) gathered.operators.set(key, { domain, type, count: 1 });
  else known.count++;
}

/** Only what can hold tensors or graphs is looked into. */
function readAttribute(fields: Fields, gathered: Gathered, depth: number): void {
  while (fields.next()) {
    if (fields.number === 5) readTensor(fields.message('t'), gathered);
    else if (fields.number === 6) readGraph(fields.message('g'), gathered, depth + 1);
    else if (fields.number === 10) readTensor(fields.message('tensors'), gathered);
    else if (fields.number === 11) readGraph(fields.message('graphs'), gathered, depth + 1);
    else if (fields.number === 22) readSparseTensor(fields.message('sparse_tensor'), gathered);
    else if (fields.number === 23) readSparseTensor(fields.message('sparse_tensors'), gathered);
    else fields.skip();
  }
}

function readFunction(fields: Fields, gathered: Gathered): void {
  while (fields.next()) {
    if (fields.number === 7) readNode(fields.message('node'), gathered, 0);
    else if (fields.number === 11) readAttribute(fields.message('attribute_proto'), gathered, 0);
    else fields.skip();
  }
}

function readSparseTensor(fields: Fields, gathered: Gathered): void {
  while (fields.next()) {
    if (fields.number === 1) readTensor(fields.message('values'), gathered);
    else if (fields.number === 2) readTensor(fields.message('indices'), gathered);
    else fields.skip();
  }
}

function readTensor(fields: Fields, gathered: Gathered): OnnxInitializer {
  const dims: number[] = [];
  const external = new Map<string, string>();
  let name = '';
  let elementType = 0;
  let location = 0;
  while (fields.next()) {
    if (fields.number === 1) fields.integers(dims, MAX_RANK);
    else if (fields.number === 2) elementType = fields.integer();
    else if (fields.number === 8) name = fields.string();
    else if (fields.number === 13) {
      external.set(...readEntry(fields.message('external_data'), MAX_METADATA_BYTES));
    } else if (fields.number === 14) location = fields.integer();
    else fields.skip();
  }
  // Location 1 is EXTERNAL; entries without it are ignored by ONNX Runtime, as they are here.
  if (location === 1) addExternalFile(fields, name, external, gathered.externalBytes);
  return { name, elementType, dims, isExternal: location === 1 };
}

function addExternalFile(
  fields: Fields,
  tensor: string,
  entries: ReadonlyMap<string, string>,
  externalBytes: Map<string, number>,
): void {
  const path = entries.get('location') ?? '';
  if (!isInnerPath(path)) {
    const shown = JSON.stringify(shownName(path));
    throw fields.error(
      `tensor '${shownName(tensor)}' keeps its data in ${shown}, which is no plain path ` +
        "inside the model's folder",
    );
  }
  const offset = Number(entries.get('offset') ?? 0);
  const length = Number(entries.get('length') ?? 0);
  const endByte = offset + length;
  if (!(offset >= 0 && length >= 0 && Number.isSafeInteger(endByte))) {
    throw fields.error(`tensor '${shownName(tensor)}' has no valid offset and length in ${path}`);
  }
  if (!externalBytes.has(path) && externalBytes.size >= MAX_EXTERNAL_FILES) {
    throw fields.error(`it needs over ${MAX_EXTERNAL_FILES} files beside it`);
  }
  externalBytes.set(path, Math.max(endByte, externalBytes.get(path) ?? 0));
}

/** ValueInfoProto. */
function readValue(fields: Fields): OnnxValue {
  let name = '';
  let type: Omit<OnnxValue, 'name'> | undefined;
  while (fields.next()) {
    if (fields.number === 1) name = fields.string();
    else if (fields.number === 2) {
      if (type !== undefined) throw fields.error('a value has two types');
      type = readType(fields.message('type'));
    } else fields.skip();
  }
  if (name === '') throw fields.error('a value has no name');
  if (type === undefined) throw fields.error(`value '${shownName(name)}' has no type`);
  return { name, ...type };
}

const KINDS = new Map<number, OnnxTypeKind>([
  [1, 'tensor'],
  [4, 'sequence'],
  [5, 'map'],
  [8, 'sparse_tensor'],
  [9, 'optional'],
]);

function readType(fields: Fields): Omit<OnnxValue, 'name'> {
  let type = emptyType('other');
  while (fields.next()) {
    if (fields.number === 1) type = readTensorType(fields.message('tensor_type'));
    else {
      const kind = KINDS.get(fields.number);
      if (kind !== undefined) type = emptyType(kind);
      fields.skip();
    }
  }
  return type;
}

function emptyType(kind: OnnxTypeKind): Omit<OnnxValue, 'name'> {
  return { kind, elementType: 0, datatype: undefined, shape: undefined, dimNames: [] };
}

function readTensorType(fields: Fields): Omit<OnnxValue, 'name'> {
  const dimNames: string[] = [];
  let elementType = 0;
  let shape: number[] | undefined;
  while (fields.next()) {
    if (fields.number === 1) elementType = fields.integer();
    else if (fields.number === 2) {
      if (shape !== undefined) throw fields.error('a value has two shapes');
      shape = [];
      readShape(fields.message('shape'), shape, dimNames);
    } else fields.skip();
  }
  return { kind: 'tensor', elementType, datatype: datatypeOf(elementType), shape, dimNames };
}

function readShape(fields: Fields, shape: number[], dimNames: string[]): void {
  while (fields.next()) {
    if (fields.number !== 1) {
      fields.skip();
      continue;
    }
    if (shape.length >= MAX_RANK) throw fields.error(`a shape has over ${MAX_RANK} dimensions`);
    const dim = fields.message('dim');
    let size = -1;
    let name = '';
    while (dim.next()) {
      if (dim.number === 1) size = Math.max(-1, dim.integer());
      else if (dim.number === 2) name = dim.string();
      else dim.skip();
    }
    shape.push(size);
    dimNames.push(size === -1 ? name : '');
  }
}
