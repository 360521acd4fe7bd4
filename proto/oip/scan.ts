// What a router must know of a request, without decoding it: which model and version, which
// sequence it belongs to. Everything else in the bytes is stepped over, not checked. One table says
// where each method's request has that, one scan reads it: of the Open Inference Protocol
// (proto/inference/grpc_service.proto) in fields of the request itself, of TensorFlow Serving
// (proto/tensorflow_serving/apis) in its ModelSpec. Of a scalar that comes twice the last counts.
import { toBuffer } from '../../common/bytes.ts';
import { MAX_NAME_BYTES } from '../limits.ts';
import { TextReader } from '../text.ts';
import {
  checkModelSpec,
  type ModelSpecFields,
  readModelSpec,
  readTaskSpec,
} from '../tfs/model-spec.ts';
import { malformed, WireReader, WireType } from '../wire.ts';
import { readSequenceParameter, type Sequence } from './sequence.ts';

/** What a request for a model says. */
export interface ModelCall {
  readonly model: string;
  /** As sent; '' is the one that calls without a version get. */
  readonly version: string;
  /** Instead of a version; '' for none. Only TensorFlow Serving has them. */
  readonly label: string;
  readonly sequence: Sequence | undefined;
}

/** Field numbers; 0: the message has no such field. */
interface Fields {
  readonly model: number;
  readonly version: number;
  readonly parameters: number;
  /** A ModelSpec. */
  readonly spec: number;
  /** Messages with a ModelSpec in their field 1. */
  readonly tasks: number;
}

const NONE: Fields = { model: 0, version: 0, parameters: 0, spec: 0, tasks: 0 };
const INFER: Fields = { ...NONE, model: 1, version: 2, parameters: 4 };
const NAME_AND_VERSION: Fields = { ...NONE, model: 1, version: 2 };
const REPOSITORY: Fields = { ...NONE, model: 2 };
const SPEC: Fields = { ...NONE, spec: 1 };
const TASKS: Fields = { ...NONE, tasks: 1 };

const FIELDS: ReadonlyMap<string, Fields> = new Map([
  ['/inference.GRPCInferenceService/ModelInfer', INFER],
  ['/inference.GRPCInferenceService/ModelStreamInfer', INFER],
  ['/inference.GRPCInferenceService/ModelReady', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelMetadata', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelConfig', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/ModelStatistics', NAME_AND_VERSION],
  ['/inference.GRPCInferenceService/RepositoryModelLoad', REPOSITORY],
  ['/inference.GRPCInferenceService/RepositoryModelUnload', REPOSITORY],
  ['/tensorflow.serving.PredictionService/Predict', SPEC],
  ['/tensorflow.serving.PredictionService/Classify', SPEC],
  ['/tensorflow.serving.PredictionService/Regress', SPEC],
  ['/tensorflow.serving.PredictionService/MultiInference', TASKS],
  ['/tensorflow.serving.PredictionService/GetModelMetadata', SPEC],
  ['/tensorflow.serving.ModelService/GetModelStatus', SPEC],
]);

const texts = new TextReader();

/**
 * @param path '/inference.GRPCInferenceService/<method>', '/tensorflow.serving.<service>/<method>'
 * @param bytes one request message, whole, from `start` on
 * @returns undefined when requests of that method name no model
 * @throws INVALID_ARGUMENT when the bytes are cut off, no protobuf, or a name is not UTF-8; when a
 * ModelSpec is missing or has no name
 */
export function scanModelCall(path: string, bytes: Uint8Array, start = 0): ModelCall | undefined {
  const fields = FIELDS.get(path);
  if (fields === undefined) return undefined;
  try {
    return scan(fields, bytes, LAST_OF_ALL, start);
  } catch (thrown) {
    // Once more, so that the offset that the error tells is one in the message.
    if (start > 0) return scan(fields, bytes.subarray(start), LAST_OF_ALL);
    throw thrown;
  }
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

/** Above the number of every field. */
const LAST_OF_ALL = 2 ** 32;

const lastOf = ({ model, version, parameters, spec, tasks }: Fields): number =>
  Math.max(model, version, parameters, spec, tasks);
const isOneOf = ({ model, version, parameters, spec, tasks }: Fields, number: number): boolean =>
  number === model ||
  number === version ||
  number === parameters ||
  number === spec ||
  number === tasks;

/** @param last stops at the first field above that number. */
function scan(fields: Fields, message: Uint8Array, last: number, from = 0): ModelHead {
  const reader = new WireReader(toBuffer(message), from);
  let settledAt = 0;
  let model = '';
  let version = '';
  let sequence: Sequence | undefined;
  let spec: ModelSpecFields | undefined;
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
    if (number === fields.model) model = nameAt(bytes, start, end);
    else if (number === fields.version) version = nameAt(bytes, start, end);
    else if (number === fields.parameters) {
      sequence = readSequenceParameter(sequence, bytes, start, end);
    } else if (number === fields.spec) spec = readModelSpec(spec, bytes, start, end);
    else if (number === fields.tasks) spec = readTaskSpec(spec, bytes, start, end);
    reader.position = end;
    settledAt = end;
  }
  if (fields.model !== 0) return { model, version, label: '', sequence, settledAt };
  const { name, label, version: ofSpec } = checkModelSpec(spec);
  return { model: name, version: ofSpec, label, sequence, settledAt };
}

function nameAt(bytes: Buffer, start: number, end: number): string {
  if (end - start > MAX_NAME_BYTES) {
    throw malformed(start, `a model name or version has more than ${MAX_NAME_BYTES} bytes`);
  }
  return texts.read(bytes, start, end);
}
