// What models are here: a version's content is a number that its manifest's hash begins with, and a
// model answers with that number and with what it was asked. So each answer tells which content of
// which version gave it.
import { ModelInferRequest, ModelInferResponse } from '../../proto/gen/inference/grpc_service.ts';
import type { ServedSignature, ServedTensor } from '../../server/infer/signature.ts';

const CONTENT_DIGITS = 12;

/** The same for the same content, and for no other. */
export function manifestOf(content: number): string {
  return content.toString(16).padStart(CONTENT_DIGITS, '0').padEnd(64, 'a');
}

export function contentOf(manifestSha256: string): number {
  return Number.parseInt(manifestSha256.slice(0, CONTENT_DIGITS), 16);
}

function tensor(index: number, name: string): ServedTensor {
  const spec = { name, datatype: 'INT64', shape: [1] } as const;
  return { index, spec, reshape: undefined, labels: [] };
}

export function signatureOf(model: string, version: number): ServedSignature {
  return {
    model,
    version,
    maxBatchSize: 0,
    inputs: [tensor(0, 'number')],
    outputs: [tensor(0, 'content'), tensor(1, 'number')],
  };
}

export function bytesOfNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true);
  return bytes;
}

export function numberOfBytes(bytes: Uint8Array, offset = 0): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(offset, true));
}

/** @param version 0: whichever serves */
export function requestBytes(model: string, version: number, number: number): Uint8Array {
  const inputs = [{ name: 'number', datatype: 'INT64', shape: [1] }];
  const message = ModelInferRequest.fromPartial({
    modelName: model,
    modelVersion: version === 0 ? '' : String(version),
    id: String(number),
    inputs,
    rawInputContents: [bytesOfNumber(number)],
  });
  return ModelInferRequest.encode(message).finish();
}

export interface Told {
  readonly model: string;
  readonly version: number;
  readonly content: number;
  readonly number: number;
}

export function readAnswer(bytes: Uint8Array): Told {
  const answer = ModelInferResponse.decode(bytes);
  const [content, number] = answer.rawOutputContents;
  return {
    model: answer.modelName,
    version: Number(answer.modelVersion),
    content: content === undefined ? -1 : numberOfBytes(content),
    number: number === undefined ? -1 : numberOfBytes(number),
  };
}
