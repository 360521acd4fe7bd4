// A node's answer as REST has it: JSON, and behind it the tensors that were wanted in binary.

import { toBuffer } from '../../common/bytes.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { type Datatype, elementCount, isDatatype } from '../../common/tensor.ts';
import type { ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';
import { type RawJson, rawJson } from '../exact-json.ts';
import { isJsonDatatype } from './elements.ts';
import { printableParameters } from './parameters.ts';
import { tensorText } from './tensor-text.ts';

type Output = ModelInferResponse['outputs'][number];

export interface InferAnswer {
  /** The JSON's text in pieces. */
  readonly json: Iterable<string>;
  /** What stands behind it; undefined: the answer is JSON alone. */
  readonly blobs: readonly Buffer[] | undefined;
  /** Raw bytes that the JSON is made of: tells small answers from large ones. */
  readonly jsonTensorBytes: number;
}

interface Placed {
  readonly output: Output;
  readonly datatype: Datatype;
  readonly raw: Buffer;
  readonly isBinary: boolean;
}

/**
 * @throws INVALID_ARGUMENT for a datatype that JSON does not carry, INTERNAL for an answer whose
 * tensors are not what their shapes say (also while the pieces are taken)
 */
export function inferAnswer(
  response: ModelInferResponse,
  isBinary: (output: string) => boolean,
): InferAnswer {
  const placed = response.outputs.map((output, at) => {
    const raw = response.rawOutputContents[at];
    return place(output, raw, isBinary(output.name));
  });
  const binary = placed.filter((one) => one.isBinary);
  const inJson = placed.filter((one) => !one.isBinary);
  return {
    json: answerText(response, placed),
    blobs: binary.length === 0 ? undefined : binary.map(({ raw }) => raw),
    jsonTensorBytes: inJson.reduce((sum, { raw }) => sum + raw.length, 0),
  };
}

function place(output: Output, raw: Uint8Array | undefined, isBinary: boolean): Placed {
  const { name, datatype } = output;
  if (raw === undefined || !isDatatype(datatype)) {
    throw new StatusError(
      Code.INTERNAL,
      `output '${name}' of type '${datatype}' came without data`,
    );
  }
  if (!isBinary && !isJsonDatatype(datatype)) {
    throw invalidArgument(
      `sending ${datatype} data via JSON is not supported. Please use the binary data format for ` +
        `output ${name}`,
    );
  }
  return { output, datatype, raw: toBuffer(raw), isBinary };
}

function* answerText(response: ModelInferResponse, placed: readonly Placed[]): Generator<string> {
  const { id, modelName, modelVersion, parameters } = response;
  const printable = printableParameters(parameters);
  const head = JSON.stringify({
    ...(id === '' ? {} : { id }),
    model_name: modelName,
    model_version: modelVersion,
    ...(parameters.size === 0 ? {} : { parameters: printable }),
  });
  yield `${head.slice(0, -1)},"outputs":[`;
  for (const [at, one] of placed.entries()) {
    if (at > 0) yield ',';
    yield* outputText(one);
  }
  yield ']}';
}

function* outputText({ output, datatype, raw, isBinary }: Placed): Generator<string> {
  const parameters: Record<string, string | number | boolean | RawJson> = {
    ...printableParameters(output.parameters),
    ...(isBinary ? { binary_data_size: raw.length } : {}),
  };
  const head = JSON.stringify({
    name: output.name,
    datatype: output.datatype,
    shape: output.shape.map((dim) => rawJson(String(dim))),
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
  });
  if (isBinary || !isJsonDatatype(datatype)) {
    yield head;
    return;
  }
  yield `${head.slice(0, -1)},"data":[`;
  yield* tensorText(output.name, datatype, raw, elementCount(output.shape.map(Number)));
  yield ']}';
}
