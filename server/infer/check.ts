// A request against a model's signature. Every rule is checked before anything is allocated for the
// data: first names, datatypes and shapes, then the counts, then the bytes. Texts are those that
// clients of this protocol know.
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { elementCount, elementSizeBytes, type Tensor } from '../../common/tensor.ts';
import { MAX_MESSAGE_BYTES } from '../../transport/backend.ts';
import { convertContents, measureContents } from './contents.ts';
import { checkParameters, classCountOf, refuseSharedMemory } from './parameters.ts';
import type { RawRequest, RequestInput } from './request.ts';
import { reshaped, type ServedSignature, type ServedTensor } from './signature.ts';
import { checkStringCount, checkStrings } from './strings.ts';

export interface OutputChoice {
  readonly output: ServedTensor;
  /** Above 0: the top classes are wanted instead of the values. */
  readonly classCount: number;
}

export interface CheckedRequest {
  /** In the order of the signature's inputs, raw bytes, shapes as the model itself has them. */
  readonly inputs: readonly Tensor[];
  /** For each of them, its place among the request's. */
  readonly places: readonly number[];
  /** The batch dimension; 1 for a model without batching. */
  readonly rows: number;
  /** What the answer holds, in the order of the model. */
  readonly outputs: readonly OutputChoice[];
  /** Longest wait in the queue that the request allows itself; 0: none stated. */
  readonly timeoutUs: number;
}

/** @throws INVALID_ARGUMENT (RESOURCE_EXHAUSTED for typed data above MAX_MESSAGE_BYTES) */
export function checkRequest(request: RawRequest, signature: ServedSignature): CheckedRequest {
  try {
    const { timeoutUs } = checkParameters(request.parameters);
    const outputs = chooseOutputs(request, signature);
    const places = matchInputs(request, signature);
    const rows = checkShapes(places, request, signature);
    const inputs = readData(places, request, signature);
    return { inputs, places, rows, outputs, timeoutUs };
  } catch (error) {
    if (request.id === '' || !(error instanceof StatusError)) throw error;
    throw new StatusError(error.code, `[request id: ${request.id}] ${error.message}`);
  }
}

/** Where each input of the signature is among the request's; texts are made only to complain. */
function matchInputs(request: RawRequest, signature: ServedSignature): readonly number[] {
  const { model } = signature;
  const places = new Array<number>(signature.inputs.length).fill(-1);
  for (const [at, { name, parameters }] of request.inputs.entries()) {
    const index = signature.inputs.findIndex(({ spec }) => spec.name === name);
    if (index < 0) {
      throw invalidArgument(`unexpected inference input '${name}' for model '${model}'`);
    }
    if (places[index] !== -1) throw invalidArgument(`input '${name}' already exists in request`);
    places[index] = at;
    refuseSharedMemory(parameters);
  }
  if (places.includes(-1)) {
    const missing = signature.inputs.filter((_, index) => places[index] === -1);
    throw invalidArgument(
      `expected ${places.length} inputs but got ${request.inputs.length} inputs for model ` +
        `'${model}'. Got input(s) [${quoted(request.inputs.map(({ name }) => name))}], but ` +
        `missing required input(s) [${quoted(missing.map(({ spec }) => spec.name))}]. ` +
        'Please provide all required input(s).',
    );
  }
  return places;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(',');
}

/** Checks datatypes and shapes; the batch size. */
function checkShapes(
  places: readonly number[],
  request: RawRequest,
  signature: ServedSignature,
): number {
  const { model, maxBatchSize } = signature;
  let rows = 1;
  for (const [index, { spec }] of signature.inputs.entries()) {
    const input = inputAt(request, places[index]);
    if (input.datatype !== spec.datatype) {
      throw invalidArgument(
        `inference input '${spec.name}' data-type is '${input.datatype}', but model '${model}' ` +
          `expects '${spec.datatype}'`,
      );
    }
    checkShape(input, spec.shape, signature);
    if (maxBatchSize === 0) continue;
    const batch = input.shape[0] ?? 0;
    if (batch < 1 || batch > maxBatchSize) {
      const bound = batch < 1 ? '>= 1' : `<= ${maxBatchSize}`;
      throw invalidArgument(`inference request batch-size must be ${bound} for '${model}'`);
    }
    if (index > 0 && batch !== rows) {
      throw invalidArgument(
        `input '${spec.name}' batch size does not match other inputs for '${model}'`,
      );
    }
    rows = batch;
  }
  return rows;
}

function checkShape(
  { name, shape }: RequestInput,
  expected: readonly number[],
  { model, maxBatchSize }: ServedSignature,
): void {
  let fits = shape.length === expected.length;
  // Zeros count as ones: [2^31, 0] holds nothing, but what a model makes of it might.
  let extent = 1;
  for (let at = 0; fits && at < shape.length; at += 1) {
    const dim = shape[at] ?? -1;
    const wanted = expected[at] ?? -1;
    fits = dim >= 0 && (wanted < 0 || dim === wanted);
    extent *= Math.max(dim, 1);
  }
  if (!fits) {
    const note =
      maxBatchSize > 0
        ? ` NOTE: The model batches (max_batch_size ${maxBatchSize}): the first dimension of ` +
          'every input is the batch size.'
        : ' NOTE: The model does not batch (max_batch_size 0): shapes are given whole.';
    throw invalidArgument(
      `unexpected shape for input '${name}' for model '${model}'. Expected ` +
        `[${expected.join(',')}], got [${shape.join(',')}].${note}`,
    );
  }
  if (extent > MAX_MESSAGE_BYTES) {
    throw invalidArgument(
      `shape [${shape.join(',')}] of input '${name}' for model '${model}' is too large: at most ` +
        `${MAX_MESSAGE_BYTES} elements fit a message`,
    );
  }
}

/** Finds each input's bytes and checks that they are what its shape says. */
function readData(
  places: readonly number[],
  request: RawRequest,
  signature: ServedSignature,
): readonly Tensor[] {
  const { maxBatchSize } = signature;
  const isRaw = request.raw.length > 0;
  let typedBytes = 0;
  return signature.inputs.map((served, index) => {
    const { spec, reshape } = served;
    const place = places[index] ?? -1;
    const input = inputAt(request, place);
    const bytes = isRaw
      ? rawData(input, request.raw[place], served, signature)
      : typedData(input, served, signature, MAX_MESSAGE_BYTES - typedBytes);
    if (!isRaw) typedBytes += bytes.length;
    const dims = maxBatchSize > 0 ? spec.shape.slice(1) : spec.shape;
    const shape =
      reshape === undefined ? input.shape : reshaped(input.shape, dims, reshape, maxBatchSize > 0);
    return { name: spec.name, datatype: spec.datatype, shape, bytes };
  });
}

function rawData(
  { shape, contents }: RequestInput,
  sent: Buffer | (() => Buffer) | undefined,
  { spec: { name, datatype } }: ServedTensor,
  { model }: ServedSignature,
): Buffer {
  if (contents !== undefined) {
    throw invalidArgument(
      'contents field must not be specified when using raw_input_contents for ' +
        `'${name}' for model '${model}'`,
    );
  }
  if (sent === undefined) throw noData(name, model);
  const bytes = typeof sent === 'function' ? sent() : sent;
  const count = elementCount(shape);
  if (datatype === 'BYTES') checkStrings(bytes, count, name, model);
  else checkSize(bytes.length, count * elementSizeBytes(datatype), name, model);
  return bytes;
}

const NOTHING = Buffer.alloc(0);

function typedData(
  { shape, contents }: RequestInput,
  { spec: { name, datatype } }: ServedTensor,
  { model }: ServedSignature,
  budgetBytes: number,
): Buffer {
  const count = elementCount(shape);
  if (contents === undefined) {
    if (count === 0) return NOTHING;
    throw noData(name, model);
  }
  const label = { input: name, model };
  const { elements, sizeBytes } = measureContents(contents, datatype, label);
  if (elements === 0 && count > 0) throw noData(name, model);
  if (datatype === 'BYTES') checkStringCount(elements, count, name, model);
  else checkSize(sizeBytes, count * elementSizeBytes(datatype), name, model);
  if (sizeBytes > budgetBytes) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `typed data up to input '${name}' for model '${model}' take more than the limit of ` +
        `${MAX_MESSAGE_BYTES} bytes`,
    );
  }
  const raw = convertContents(contents, datatype, sizeBytes, label);
  if (datatype === 'BYTES') checkStrings(raw, count, name, model);
  return raw;
}

function noData(name: string, model: string): StatusError {
  return invalidArgument(
    `unable to find data for input tensor '${name}' for model '${model}' in request.`,
  );
}

function checkSize(got: number, expected: number, name: string, model: string): void {
  if (got === expected) return;
  throw invalidArgument(
    `input byte size mismatch for input '${name}' for model '${model}'. Expected ${expected}, ` +
      `got ${got}`,
  );
}

function chooseOutputs(
  { outputs: asked }: RawRequest,
  { model, outputs }: ServedSignature,
): readonly OutputChoice[] {
  if (asked.length === 0) return outputs.map((output) => ({ output, classCount: 0 }));
  const classCounts = new Map<string, number>();
  for (const { name, parameters } of asked) {
    if (!outputs.some(({ spec }) => spec.name === name)) {
      throw invalidArgument(`unexpected inference output '${name}' for model '${model}'`);
    }
    if (classCounts.has(name)) throw invalidArgument(`output '${name}' already exists in request`);
    refuseSharedMemory(parameters);
    classCounts.set(name, classCountOf(parameters));
  }
  return outputs.flatMap((output) => {
    const classCount = classCounts.get(output.spec.name);
    return classCount === undefined ? [] : [{ output, classCount }];
  });
}

/** The index was found by matchInputs, so the input is there. */
function inputAt(request: RawRequest, place: number | undefined): RequestInput {
  const input = request.inputs[place ?? -1];
  if (input === undefined) throw new StatusError(Code.INTERNAL, 'an input lost its place');
  return input;
}
