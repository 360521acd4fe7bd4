// An inference request of REST as the message that a node takes: every tensor raw, in the order in
// which it was given. Sizes are checked before memory is taken for them.
import { isUtf8 } from 'node:buffer';
import { invalidArgument } from '../../common/status.ts';
import { type Datatype, elementCount, elementSizeBytes, isDatatype } from '../../common/tensor.ts';
import type { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { limitText, tooLarge } from '../http-error.ts';
import { readData } from './data.ts';
import { isJsonDatatype } from './elements.ts';
import { type Head, malformedJson, readHead, spanOf } from './head.ts';
import { flagParameter, parametersOf, plainParameters } from './parameters.ts';
import type { Slices } from './slices.ts';

export interface InferBody {
  readonly model: string;
  /** '': the serving one. */
  readonly version: string;
  readonly bytes: Buffer;
  /** Bytes of JSON at the front; tensors in binary follow. */
  readonly jsonBytes: number;
  /** Raw bytes that all tensors together may have. */
  readonly maxTensorBytes: number;
}

export interface InferCall {
  readonly message: ModelInferRequest;
  /** Whether an output is wanted as bytes behind the JSON. */
  isBinary(output: string): boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws INVALID_ARGUMENT naming the field and what it should be; RESOURCE_EXHAUSTED (413) */
export function* readInferBody(body: InferBody): Slices<InferCall> {
  const { bytes, jsonBytes } = body;
  if (!isUtf8(bytes.subarray(0, jsonBytes))) throw malformedJson('it is not valid UTF-8');
  const head = yield* readHead(bytes, jsonBytes);
  const root = fieldsOf(head.json, 'the request');
  const parameters = plainParameters(root.parameters);
  const tensors = yield* new TensorReader(body, head).read(listOf(root, 'inputs'));
  const { outputs, isBinary } = outputsOf(root, flagParameter(parameters, 'binary_data_output'));
  const message: ModelInferRequest = {
    modelName: body.model,
    modelVersion: body.version,
    id: root.id === undefined ? '' : textOf(root, 'id'),
    parameters: parametersOf(parameters, ['binary_data_output']),
    inputs: tensors.map(({ input }) => input),
    outputs,
    rawInputContents: tensors.flatMap(({ raw }) => (raw === undefined ? [] : [raw])),
  };
  return { message, isBinary };
}

interface ReadTensor {
  readonly input: ModelInferRequest['inputs'][number];
  /** Undefined: its data is in shared memory, or so it says. */
  readonly raw: Buffer | undefined;
}

class TensorReader {
  readonly #body: InferBody;
  readonly #head: Head;
  /** Where the next binary tensor begins. */
  #blobAt: number;
  #tensorBytes = 0;

  constructor(body: InferBody, head: Head) {
    this.#body = body;
    this.#head = head;
    this.#blobAt = body.jsonBytes;
  }

  *read(inputs: readonly unknown[]): Slices<readonly ReadTensor[]> {
    const tensors: ReadTensor[] = [];
    for (const one of inputs) tensors.push(yield* this.#one(fieldsOf(one, 'an input')));
    if (this.#blobAt !== this.#body.bytes.length) {
      const extra = this.#body.bytes.length - this.#blobAt;
      throw invalidArgument(
        `unexpected additional input data for model '${this.#body.model}': ${extra} bytes are left`,
      );
    }
    return tensors;
  }

  *#one(fields: Fields): Slices<ReadTensor> {
    const name = textOf(fields, 'name');
    const datatype = datatypeOf(fields, name);
    const shape = shapeOf(fields, name);
    const parameters = plainParameters(fields.parameters);
    const sizeBytes = parameters.get('binary_data_size');
    const input = {
      name,
      datatype,
      shape: shape.map(BigInt),
      parameters: parametersOf(parameters, ['binary_data_size']),
      contents: undefined,
    };
    if (sizeBytes !== undefined) return { input, raw: this.#blob(name, sizeBytes) };
    if (parameters.has('shared_memory_region')) return { input, raw: undefined };
    return { input, raw: yield* this.#json(fields.data, { name, datatype, shape }) };
  }

  #blob(name: string, sizeBytes: unknown): Buffer {
    if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
      throw invalidArgument(
        `invalid value for 'binary_data_size' of input '${name}', expected value >= 0.`,
      );
    }
    const { bytes, model } = this.#body;
    const missing = this.#blobAt + sizeBytes - bytes.length;
    if (missing > 0) {
      throw invalidArgument(
        `unexpected size for input '${name}', expecting ${missing} additional bytes for model ` +
          `'${model}'`,
      );
    }
    this.#count(sizeBytes);
    const blob = bytes.subarray(this.#blobAt, this.#blobAt + sizeBytes);
    this.#blobAt += sizeBytes;
    return blob;
  }

  *#json(data: unknown, tensor: JsonInput): Slices<Buffer> {
    const { name, datatype, shape } = tensor;
    if (data === undefined) {
      const { model } = this.#body;
      throw invalidArgument(
        `unable to find data for input tensor '${name}' for model '${model}' in request.`,
      );
    }
    if (!isJsonDatatype(datatype)) {
      throw invalidArgument(
        `receiving ${datatype} data via JSON is not supported. Please use the binary data format ` +
          `for input ${name}`,
      );
    }
    const span = spanOf(this.#head, data);
    if (span === undefined) {
      throw invalidArgument(`Unable to parse 'data': it must be a list, in input '${name}'`);
    }
    const count = elementCount(shape);
    // Of strings only the length fields are known before they are read.
    this.#count(count * (elementSizeBytes(datatype) || 4));
    const raw = yield* readData(this.#body.bytes, span, { input: name, datatype, shape, count });
    if (datatype === 'BYTES') this.#count(raw.length - count * 4);
    return raw;
  }

  #count(sizeBytes: number): void {
    this.#tensorBytes += sizeBytes;
    const { maxTensorBytes } = this.#body;
    if (this.#tensorBytes <= maxTensorBytes) return;
    throw tooLarge(`the tensors are larger than the limit of ${limitText(maxTensorBytes)}`);
  }
}

interface JsonInput {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** Keys that say how an output comes back, and do not travel. */
const OUTPUT_LOCAL = ['binary_data'];

function outputsOf(
  root: Fields,
  isAllBinary: boolean | undefined,
): Pick<InferCall, 'isBinary'> & Pick<ModelInferRequest, 'outputs'> {
  const wanted = new Map<string, boolean>();
  const outputs = (root.outputs === undefined ? [] : listOf(root, 'outputs')).map((one) => {
    const fields = fieldsOf(one, 'an output');
    const name = textOf(fields, 'name');
    const parameters = plainParameters(fields.parameters);
    const isBinary = flagParameter(parameters, 'binary_data');
    if (isBinary !== undefined) wanted.set(name, isBinary);
    return { name, parameters: parametersOf(parameters, OUTPUT_LOCAL) };
  });
  return { outputs, isBinary: (name) => wanted.get(name) ?? isAllBinary ?? false };
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformedJson(`${what} must be an object`);
}

function missing(key: string): Error {
  return invalidArgument(
    `Unable to parse '${key}': attempt to access non-existing object member '${key}'`,
  );
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  if (value === undefined) throw missing(key);
  if (typeof value === 'string' && value.isWellFormed()) return value;
  throw invalidArgument(`Unable to parse '${key}': attempt to access JSON non-string as string`);
}

function listOf(fields: Fields, key: string): readonly unknown[] {
  const value = fields[key];
  if (value === undefined) throw missing(key);
  if (Array.isArray(value)) return value;
  throw invalidArgument(`Unable to parse '${key}': attempt to access JSON non-array as array`);
}

function datatypeOf(fields: Fields, input: string): Datatype {
  const text = textOf(fields, 'datatype');
  if (isDatatype(text)) return text;
  throw invalidArgument(
    `inference input '${input}' data-type is '${text.slice(0, 32)}', which is none of the protocol`,
  );
}

/** Largest number of elements: a byte each would fill the largest message. */
function shapeOf(fields: Fields, input: string): readonly number[] {
  const dims = listOf(fields, 'shape');
  const shape = dims.map((dim) => {
    if (typeof dim === 'number' && Number.isSafeInteger(dim) && dim >= 0) return dim;
    throw invalidArgument(
      `Unable to parse 'shape': dimensions of input '${input}' must be whole numbers from 0`,
    );
  });
  if (Number.isSafeInteger(elementCount(shape.map((dim) => Math.max(dim, 1))))) return shape;
  throw invalidArgument(
    `shape of input '${input}' causes total element count to exceed maximum size of 2^53`,
  );
}
