// What a router must know of a request, without decoding it: which model and version, which
// sequence it belongs to. Everything else in the bytes is stepped over, not checked.
// Field numbers: proto/inference/grpc_service.proto. Of a scalar that comes twice the last counts.
import { toBuffer } from '../../common/bytes.ts';
import { TextReader } from '../text.ts';
import { malformed, WireReader, WireType } from '../wire.ts';
import { readSequenceParameter, type Sequence } from './sequence.ts';

/** Longer names and versions are refused with INVALID_ARGUMENT; no model has such a name. */
export const MAX_NAME_BYTES = 1024;

/** What a request for a model says. */
export interface ModelCall {
  readonly model: string;
  /** As sent; '' is the one that calls without a version get. */
  readonly version: string;
  readonly sequence: Sequence | undefined;
}

/** Field numbers; 0: the message has no such field. */
interface Fields {
  readonly model: number;
  readonly version: number;
  readonly parameters: number;
}

const INFER: Fields = { model: 1, version: 2, parameters: 4 };
const NAME_AND_VERSION: Fields = { model: 1, version: 2, parameters: 0 };
const REPOSITORY: Fields = { model: 2, version: 0, parameters: 0 };

const FIELDS: ReadonlyMap<string, Fields> = new Map([
  ['/inference.GRPCInferenceService/ModelInfer', INFER],
  ['/inference.GRPCInferenceService/ModelStreamInfer', INFER],
  ['/inference.GRPCInferenceService/ModelReady', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelMetadata', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelConfig', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelStatistics', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/RepositoryModelLoad', REPOSITORY],
  ['/inference.GRPCInferenceService/RepositoryModelUnload', REPOSITORY],
]);

const texts = new TextReader();

/**
 * @param path '/inference.GRPCInferenceService/<method>'
 * @param bytes one request message, whole
 * @returns undefined when requests of that method name no model
 * @throws INVALID_ARGUMENT when the bytes are cut off, no protobuf, or a name is not UTF-8
 */
export function scanModelCall(path: string, bytes: Uint8Array): ModelCall | undefined {
  const fields = FIELDS.get(path);
  return fields === undefined ? undefined : scan(fields, bytes);
}

/** What the first bytes of a message say, when nothing behind them can change it. */
export interface ModelHead extends ModelCall {
  /** Offset of the first field behind those that were looked for. */
  readonly settledAt: number;
}

/**
 * As scanModelCall, of the first bytes of a message whose fields come in the order of their
 * numbers, as every encoder of protobuf writes them.
 * @returns undefined when these bytes don't tell: more are needed, or they are malformed
 */
export function scanModelHead(path: string, bytes: Uint8Array): ModelHead | undefined {
  const fields = FIELDS.get(path);
  if (fields === undefined) return undefined;
  try {
    const found = scan(fields, bytes, lastOf(fields));
    return found.settledAt < bytes.length ? found : undefined;
  } catch {
    return undefined;
  }
}

/** True for a field that says which model, version or sequence a request of that method is for. */
export function isNamingField(path: string, number: number): boolean {
  const fields = FIELDS.get(path);
  return fields !== undefined && number <= lastOf(fields) && isOneOf(fields, number);
}

const lastOf = ({ model, version, parameters }: Fields): number =>
  Math.max(model, version, parameters);
const isOneOf = ({ model, version, parameters }: Fields, number: number): boolean =>
  number === model || number === version || number === parameters;

/** @param last stops at the first field above that number. */
function scan(fields: Fields, message: Uint8Array, last = Number.POSITIVE_INFINITY): ModelHead {
  const reader = new WireReader(toBuffer(message));
  let settledAt = 0;
  let model = '';
  let version = '';
  let sequence: Sequence | undefined;
  const { bytes } = reader;
  for (let tag = reader.tag(); tag !== 0 && tag >>> 3 <= last; tag = reader.tag()) {
    if ((tag & 7) !== WireType.BYTES) {
      reader.skip(tag);
      settledAt = reader.position;
      continue;
    }
    const length = reader.length();
    const start = reader.position;
    const end = start + length;
    const number = tag >>> 3;
    if (number === fields.model) model = name(bytes, start, end);
    else if (number === fields.version) version = name(bytes, start, end);
    else if (number === fields.parameters) {
      sequence = readSequenceParameter(sequence, bytes, start, end);
    }
    reader.position = end;
    settledAt = end;
  }
  return { model, version, sequence, settledAt };
}

function name(bytes: Buffer, start: number, end: number): string {
  if (end - start > MAX_NAME_BYTES) {
    throw malformed(start, `a model name or version has more than ${MAX_NAME_BYTES} bytes`);
  }
  return texts.read(bytes, start, end);
}
