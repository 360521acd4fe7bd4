// A ModelInferRequest as it came, before anything is known of the model: names, shapes and where
// the bytes lie. All data are views of the request; typed contents stay undecoded until their
// input is known to be right. Field numbers: ../../proto/inference (package inference).
import { toBuffer } from '../../common/bytes.ts';
import { invalidArgument } from '../../common/status.ts';
import { malformed, WireReader } from '../../proto/wire.ts';

/** Inputs or requested outputs of one request; above it INVALID_ARGUMENT. */
export const MAX_REQUEST_TENSORS = 1024;
/** Parameters of one request and all its tensors; above it INVALID_ARGUMENT. */
export const MAX_REQUEST_PARAMETERS = 1024;
/** Dimensions of one shape; above it INVALID_ARGUMENT. */
export const MAX_DIMENSIONS = 64;

/** Integers are bigint and a double is a number, so the kind tells int64 from uint64 only. */
export type Parameter =
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'int64'; readonly value: bigint }
  | { readonly kind: 'uint64'; readonly value: bigint }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string };

export type Parameters = ReadonlyMap<string, Parameter>;

export const NO_PARAMETERS: Parameters = new Map();

export interface RequestInput {
  readonly name: string;
  /** As sent: may be no datatype at all. */
  readonly datatype: string;
  /** Exact integers; +-Infinity stands for one beyond 2^53. */
  readonly shape: readonly number[];
  readonly parameters: Parameters;
  /** The InferTensorContents message, undecoded; undefined when the input has none. */
  readonly contents: Buffer | undefined;
}

export interface RequestedOutput {
  readonly name: string;
  readonly parameters: Parameters;
}

export interface RawRequest {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly RequestInput[];
  readonly outputs: readonly RequestedOutput[];
  /**
   * In the order of the inputs; entries beyond MAX_REQUEST_TENSORS are not kept. A function makes
   * them, once names, datatypes and shapes have proved right.
   */
  readonly raw: readonly (Buffer | (() => Buffer))[];
}

/**
 * @throws INVALID_ARGUMENT for bytes that are no such message, or more of something than allowed.
 */
export function decodeRequest(bytes: Uint8Array): RawRequest {
  const reader = new WireReader(toBuffer(bytes));
  const budget = { parameters: MAX_REQUEST_PARAMETERS };
  const inputs: RequestInput[] = [];
  const outputs: RequestedOutput[] = [];
  const raw: Buffer[] = [];
  let parameters = NO_PARAMETERS;
  let modelName = '';
  let modelVersion = '';
  let id = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) modelName = reader.text();
    else if (tag === 0x12) modelVersion = reader.text();
    else if (tag === 0x1a) id = reader.text();
    else if (tag === 0x22) parameters = withParameter(parameters, reader, budget);
    else if (tag === 0x2a) inputs.push(decodeInput(reader, budget));
    else if (tag === 0x32) outputs.push(decodeOutput(reader, budget));
    else if (tag === 0x3a && raw.length < MAX_REQUEST_TENSORS) raw.push(reader.view());
    else reader.skip(tag);
    if (inputs.length > MAX_REQUEST_TENSORS || outputs.length > MAX_REQUEST_TENSORS) {
      throw invalidArgument(`a request may have at most ${MAX_REQUEST_TENSORS} inputs or outputs`);
    }
  }
  return { modelName, modelVersion, id, parameters, inputs, outputs, raw };
}

interface Budget {
  parameters: number;
}

function decodeInput(reader: WireReader, budget: Budget): RequestInput {
  const outerEnd = reader.enter();
  const shape: number[] = [];
  let name = '';
  let datatype = '';
  let parameters = NO_PARAMETERS;
  let contents: Buffer | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) name = reader.text();
    else if (tag === 0x12) datatype = reader.text();
    else if (tag === 0x1a) decodePackedShape(reader, shape);
    else if (tag === 0x18) pushDimension(shape, reader.int64());
    else if (tag === 0x22) parameters = withParameter(parameters, reader, budget);
    else if (tag === 0x2a) {
      if (contents !== undefined) throw malformed(reader.position, 'an input has two contents');
      contents = reader.view();
    } else reader.skip(tag);
  }
  reader.leave(outerEnd);
  return { name, datatype, shape, parameters, contents };
}

function decodePackedShape(reader: WireReader, shape: number[]): void {
  const outerEnd = reader.enter();
  while (reader.position < reader.end) pushDimension(shape, reader.int64());
  reader.leave(outerEnd);
}

function pushDimension(shape: number[], dimension: number): void {
  if (shape.length === MAX_DIMENSIONS) {
    throw invalidArgument(`a shape may have at most ${MAX_DIMENSIONS} dimensions`);
  }
  shape.push(dimension);
}

function decodeOutput(reader: WireReader, budget: Budget): RequestedOutput {
  const outerEnd = reader.enter();
  let name = '';
  let parameters = NO_PARAMETERS;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) name = reader.text();
    else if (tag === 0x12) parameters = withParameter(parameters, reader, budget);
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  return { name, parameters };
}

/**
 * Reads one entry of a map<string, InferParameter>; a key that comes again takes the last value.
 */
function withParameter(known: Parameters, reader: WireReader, budget: Budget): Parameters {
  budget.parameters -= 1;
  if (budget.parameters < 0) {
    throw invalidArgument(`a request may have at most ${MAX_REQUEST_PARAMETERS} parameters`);
  }
  const outerEnd = reader.enter();
  let key = '';
  let value: Parameter | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x0a) key = reader.text();
    else if (tag === 0x12) value = decodeParameter(reader);
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  if (value === undefined) throw invalidArgument(`parameter '${key}' has no value`);
  return known === NO_PARAMETERS
    ? new Map([[key, value]])
    : (known as Map<string, Parameter>).set(key, value);
}

function decodeParameter(reader: WireReader): Parameter | undefined {
  const outerEnd = reader.enter();
  let parameter: Parameter | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) parameter = { kind: 'bool', value: reader.uint64() !== 0n };
    else if (tag === 0x10) parameter = { kind: 'int64', value: BigInt.asIntN(64, reader.uint64()) };
    else if (tag === 0x1a) parameter = { kind: 'string', value: reader.text() };
    else if (tag === 0x21) parameter = { kind: 'double', value: reader.double() };
    else if (tag === 0x28) parameter = { kind: 'uint64', value: reader.uint64() };
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  return parameter;
}
