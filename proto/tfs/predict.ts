// TensorFlow Serving's Predict, read and written in place: what it names and where its tensors'
// bytes lie. Field numbers: proto/tensorflow_serving/apis/predict.proto, model.proto.
import { toBuffer } from '../../common/bytes.ts';
import { Code, invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import { MAX_NAME_BYTES } from '../limits.ts';
import { WireReader } from '../wire.ts';
import { checkModelSpec, type ModelSpecFields, readModelSpec } from './model-spec.ts';
import { readTensor, type SentTensor } from './tensor-decode.ts';
import { Pieces, tensorProto } from './tensor-encode.ts';

/** Inputs, or outputs asked for; above it INVALID_ARGUMENT. */
export const MAX_REQUEST_TENSORS = 1024;

const SPEC_TAG = 0x0a;
const INPUT_TAG = 0x12;
const FILTER_TAG = 0x1a;
/** Of an entry of the map of inputs. */
const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;

export interface SentPredict {
  readonly spec: ModelSpecFields;
  /** By alias. */
  readonly inputs: ReadonlyMap<string, SentTensor>;
  /** Aliases of the outputs that are wanted; empty: all. */
  readonly outputFilter: readonly string[];
}

/** @throws INVALID_ARGUMENT for what is no such request, or names no model */
export function decodePredict(request: Uint8Array): SentPredict {
  const reader = new WireReader(toBuffer(request));
  const inputs = new Map<string, SentTensor>();
  const outputFilter: string[] = [];
  let spec: ModelSpecFields | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === SPEC_TAG) {
      const length = reader.length();
      const start = reader.position;
      reader.position += length;
      spec = readModelSpec(spec, reader.bytes, start, reader.position);
    } else if (tag === INPUT_TAG) readInput(reader, inputs);
    else if (tag === FILTER_TAG) outputFilter.push(alias(reader));
    else reader.skip(tag);
    if (Math.max(inputs.size, outputFilter.length) > MAX_REQUEST_TENSORS) {
      throw invalidArgument(`a request may have at most ${MAX_REQUEST_TENSORS} inputs or outputs`);
    }
  }
  return { spec: checkModelSpec(spec), inputs, outputFilter };
}

function readInput(reader: WireReader, inputs: Map<string, SentTensor>): void {
  const outerEnd = reader.enter();
  let key = '';
  let message: Buffer = Buffer.alloc(0);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === KEY_TAG) key = alias(reader);
    else if (tag === VALUE_TAG) message = reader.view();
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  try {
    inputs.set(key, readTensor(message));
  } catch (thrown) {
    throw tensorError(key, thrown);
  }
}

function alias(reader: WireReader): string {
  const text = reader.text();
  if (text.length <= MAX_NAME_BYTES) return text;
  throw invalidArgument(`the name of an input or output has more than ${MAX_NAME_BYTES} bytes`);
}

/** What is wrong with a tensor, in TensorFlow Serving's words and then in ours. */
export function tensorError(alias: string, thrown: unknown): StatusError {
  const { code, message } = statusOf(thrown);
  return new StatusError(code, `tensor parsing error: ${alias} (${message})`);
}

export interface PredictAnswer {
  readonly model: string;
  readonly version: number;
  readonly signature: string;
  readonly outputs: readonly Tensor[];
}

/**
 * A PredictResponse, the data of floats copied once.
 * @throws RESOURCE_EXHAUSTED, before that, when it would have more than `maxBytes`
 */
export function encodePredict(answer: PredictAnswer, maxBytes: number): Uint8Array {
  const { model, version, signature, outputs } = answer;
  const response = new Pieces();
  for (const output of outputs) {
    const entry = new Pieces();
    entry.field(1, Buffer.from(output.name));
    entry.field(2, tensorProto(output));
    response.field(1, entry);
  }
  response.field(2, modelSpec(model, version, signature));
  if (response.sizeBytes <= maxBytes) return response.join();
  throw new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `the answer would have ${response.sizeBytes} bytes, more than the limit of ${maxBytes}: ask ` +
      'for fewer rows or outputs',
  );
}

function modelSpec(model: string, version: number, signature: string): Pieces {
  const spec = new Pieces();
  spec.field(1, Buffer.from(model));
  spec.add(versionOfSpec(version));
  if (signature !== '') spec.field(3, Buffer.from(signature));
  return spec;
}

/** Field 2 of a ModelSpec. */
function versionOfSpec(version: number): Uint8Array {
  const value = [0x08];
  let rest = version;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) value.push((rest % 0x80) | 0x80);
  value.push(rest);
  return Uint8Array.from([0x12, value.length, ...value]);
}

/**
 * To be put behind a request whose field 1 is its ModelSpec: once more, with nothing but a version.
 * Protobuf merges a message that comes twice, so nothing in front of it is touched.
 */
export function versionField(version: number): Uint8Array {
  const field = versionOfSpec(version);
  return Uint8Array.from([SPEC_TAG, field.length, ...field]);
}
