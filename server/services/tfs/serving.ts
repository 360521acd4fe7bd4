// TensorFlow Serving's two services as a Backend, over the same models as the Open Inference
// Protocol. Classify, Regress and MultiInference feed serialised tf.Examples into a graph of
// TensorFlow's own; the models here take tensors, so callers are told to use Predict.
import type { Log } from '../../../common/log.ts';
import { Code, StatusError } from '../../../common/status.ts';
import type { CallTracer } from '../../../common/tracing/call-tracer.ts';
import {
  GetModelMetadataRequest,
  GetModelMetadataResponse,
} from '../../../proto/gen/tensorflow_serving/apis/get_model_metadata.ts';
import { type ModelCall, scanModelCall } from '../../../proto/oip/scan.ts';
import { encodeModelStatus, type KnownVersion } from '../../../proto/tfs/model-status.ts';
import { MODEL_SERVICE, PREDICTION_SERVICE } from '../../../proto/tfs/services.ts';
import type { Backend } from '../../../transport/backend.ts';
import {
  type Codec,
  codecOf,
  defineService,
  type Method,
  mergeBackends,
  unary,
  unknownMethod,
} from '../../../transport/service.ts';
import type { ModelTable } from '../../model-table.ts';
import { MAX_CONTROL_REQUEST_BYTES } from '../inference.ts';
import { indexState } from '../repository.ts';
import { checkMetadataFields, modelMetadataOf } from './model-signature.ts';
import { findServable, Predict } from './predict.ts';

export const PREDICT = `/${PREDICTION_SERVICE}/Predict`;
const GET_MODEL_METADATA = `/${PREDICTION_SERVICE}/GetModelMetadata`;
const GET_MODEL_STATUS = `/${MODEL_SERVICE}/GetModelStatus`;

const USE_PREDICT =
  'is not supported: it feeds serialised tf.Examples into a TensorFlow graph, and the models ' +
  'here take tensors; use Predict with the inputs that GetModelMetadata tells';
const USE_TORUS =
  'is not supported: models are added with `torus model import`, and loaded and unloaded with ' +
  'RepositoryModelLoad and RepositoryModelUnload of inference.GRPCInferenceService';

const NOT_SUPPORTED: readonly (readonly [path: string, why: string])[] = [
  [`/${PREDICTION_SERVICE}/Classify`, `Classify ${USE_PREDICT}`],
  [`/${PREDICTION_SERVICE}/Regress`, `Regress ${USE_PREDICT}`],
  [`/${PREDICTION_SERVICE}/MultiInference`, `MultiInference ${USE_PREDICT}`],
  [`/${MODEL_SERVICE}/HandleReloadConfigRequest`, `HandleReloadConfigRequest ${USE_TORUS}`],
];

const AS_BYTES: Codec<Uint8Array> = { decode: (bytes) => bytes, encode: (bytes) => bytes };

export interface ServingOptions {
  readonly table: ModelTable;
  /** The clock that deadlines are on. */
  readonly nowMs: () => number;
  /** Undefined: no call is recorded. */
  readonly tracer?: CallTracer | undefined;
}

export function createServingBackend(options: ServingOptions, log: Log): Backend {
  const { table, nowMs, tracer } = options;
  const predict = new Predict(table, nowMs, tracer);
  const hot: Backend = {
    methods: new Map([[PREDICT, 'unary']]),
    unary: (call) => predict.unary(call),
    stream: (call) => call.fail(unknownMethod(call.path)),
  };
  const refused = NOT_SUPPORTED.map(([path, why]) => notSupported(path, why));
  return mergeBackends([
    hot,
    defineService([metadataMethod(table), statusMethod(table), ...refused], log),
  ]);
}

function metadataMethod(table: ModelTable): Method {
  const request = read(GET_MODEL_METADATA, (call, bytes) => ({
    call,
    fields: GetModelMetadataRequest.decode(bytes).metadataField,
  }));
  const response = codecOf(GetModelMetadataResponse);
  return unary(GET_MODEL_METADATA, request, response, ({ call, fields }) => {
    checkMetadataFields(fields);
    const { model: name, version, label } = call;
    return modelMetadataOf(findServable(table, { name, version, label, signature: '' }).signature);
  });
}

function statusMethod(table: ModelTable): Method {
  const request = read(GET_MODEL_STATUS, (call) => call);
  return unary(GET_MODEL_STATUS, request, AS_BYTES, ({ model, version }) =>
    encodeModelStatus(model, version, knownVersions(table, model)),
  );
}

function knownVersions(table: ModelTable, model: string): readonly KnownVersion[] {
  return table
    .statuses()
    .filter((status) => status.model === model)
    .map((status) => ({
      version: status.version,
      state: indexState(status),
      reason: status.reason,
    }));
}

/** Requests that name a model in their ModelSpec, and are small. */
function read<T>(path: string, decode: (call: ModelCall, bytes: Uint8Array) => T): Codec<T> {
  return {
    decode(bytes) {
      if (bytes.length > MAX_CONTROL_REQUEST_BYTES) {
        const text = `is larger than the limit of ${MAX_CONTROL_REQUEST_BYTES}`;
        throw new StatusError(Code.RESOURCE_EXHAUSTED, `request of ${bytes.length} bytes ${text}`);
      }
      const call = scanModelCall(path, bytes);
      if (call === undefined) throw new StatusError(Code.INTERNAL, `${path} names no model`);
      return decode(call, bytes);
    },
    encode() {
      throw new StatusError(Code.INTERNAL, `requests of ${path} are only read here`);
    },
  };
}

function notSupported(path: string, why: string): Method {
  return unary(path, AS_BYTES, AS_BYTES, () => {
    throw new StatusError(Code.UNIMPLEMENTED, why);
  });
}
