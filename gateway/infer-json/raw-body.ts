// A request whose body is nothing but the bytes of a model's one input: its shape follows from the
// model's configuration and the length of the body.
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { elementCount, elementSizeBytes, isDatatype } from '../../common/tensor.ts';
import type { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { DataType, type ModelConfig } from '../../proto/gen/inference/model_config.ts';

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(DataType).map(([name, value]) => [value as number, name]),
);

/** TYPE_FP32 -> 'FP32', TYPE_STRING -> 'BYTES' */
function datatypeOf(type: number): string {
  const name = NAMES.get(type)?.replace(/^TYPE_/, '') ?? '';
  return name === 'STRING' ? 'BYTES' : name;
}

function refuse(why: string): StatusError {
  return invalidArgument(`Raw request ${why}`);
}

function shapeOf(dims: readonly number[], elements: number): readonly number[] {
  const variable = dims.filter((dim) => dim < 0).length;
  if (variable > 1) {
    throw refuse(`must only have at most 1 variable dimension, got shape [${dims.join(',')}]`);
  }
  const known = elementCount(dims.filter((dim) => dim >= 0));
  const free = elements / known;
  const fits = variable === 0 ? free === 1 : Number.isInteger(free);
  if (!fits) {
    throw refuse(`of ${elements} elements does not fill the input's shape [${dims.join(',')}]`);
  }
  return dims.map((dim) => (dim < 0 ? free : dim));
}

/** @throws INVALID_ARGUMENT when the shape can't be told */
export function rawBodyRequest(
  config: ModelConfig,
  version: string,
  body: Buffer,
): ModelInferRequest {
  const [input] = config.input;
  if (input === undefined || config.input.length > 1) {
    throw refuse(
      `must only have 1 input (found 1) to be deduced but got ${config.input.length} inputs in ` +
        `'${config.name}' model configuration`,
    );
  }
  const datatype = datatypeOf(input.dataType);
  if (!isDatatype(datatype)) {
    throw new StatusError(Code.INTERNAL, `input '${input.name}' has no datatype`);
  }
  const dims = input.dims.map(Number);
  const isText = datatype === 'BYTES';
  const elements = isText ? 1 : body.length / elementSizeBytes(datatype);
  const shape = shapeOf(dims, elements);
  return {
    modelName: config.name,
    modelVersion: version,
    id: '',
    parameters: new Map(),
    inputs: [
      {
        name: input.name,
        datatype,
        shape: (config.maxBatchSize > 0 ? [1, ...shape] : shape).map(BigInt),
        parameters: new Map(),
        contents: undefined,
      },
    ],
    outputs: [],
    rawInputContents: [isText ? withLength(body) : body],
  };
}

function withLength(text: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}
