// The scan finds what a full decoding finds, in every request that names a model, and nothing in
// the bytes makes it do anything but answer or refuse with INVALID_ARGUMENT.
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import {
  GRPCInferenceServiceDefinition,
  ModelConfigRequest,
  ModelInferRequest,
  ModelMetadataRequest,
  ModelReadyRequest,
  ModelStatisticsRequest,
  RepositoryModelLoadRequest,
  RepositoryModelUnloadRequest,
} from '../gen/inference/grpc_service.ts';
import { MAX_NAME_BYTES } from '../limits.ts';
import { type ModelCall, scanModelCall } from './scan.ts';

const path = (method: string): string => `/inference.GRPCInferenceService/${method}`;
const INFER = path('ModelInfer');

const text = fc.string({ unit: 'binary', maxLength: 30 });
const name = fc.oneof(fc.constantFrom('', 'digits', 'a.b-c_d'), text);
const bytes = fc.uint8Array({ maxLength: 200 });
const parameters = fc
  .array(fc.tuple(fc.oneof(fc.constant('priority'), text), fc.bigInt({ min: -9n, max: 99n })))
  .map((entries) => new Map(entries.filter(([key]) => !key.startsWith('sequence_'))))
  .map(
    (map) =>
      new Map(
        [...map].map(([key, int64Param]) => [
          key,
          { parameterChoice: { $case: 'int64Param' as const, int64Param } },
        ]),
      ),
  );
const tensor = fc.record({
  name: text,
  datatype: text,
  shape: fc.array(fc.bigInt(-1n, 2n ** 40n)),
});
const inferRequest = fc.record({
  modelName: name,
  modelVersion: name,
  id: text,
  parameters,
  inputs: fc.array(tensor, { maxLength: 3 }),
  outputs: fc.array(fc.record({ name: text }), { maxLength: 2 }),
  rawInputContents: fc.array(bytes, { maxLength: 3 }),
});
const encodeInfer = (request: Parameters<typeof ModelInferRequest.fromPartial>[0]): Uint8Array =>
  ModelInferRequest.encode(ModelInferRequest.fromPartial(request)).finish();

const scanned = (method: string, message: Uint8Array): ModelCall => {
  const call = scanModelCall(path(method), message);
  if (call === undefined) throw new Error(`${method} should name a model`);
  return call;
};

test('model and version of an inference are those of a full decoding', (t) => {
  const assertSame = (request: Parameters<typeof ModelInferRequest.fromPartial>[0]): void => {
    const message = encodeInfer(request);
    const decoded = ModelInferRequest.decode(message);
    for (const method of ['ModelInfer', 'ModelStreamInfer']) {
      const call = scanned(method, message);
      t.is(call.model, decoded.modelName);
      t.is(call.version, decoded.modelVersion);
      t.is(call.sequence, undefined);
    }
  };
  t.notThrows(() => fc.assert(fc.property(inferRequest, assertSame)));
});

test('name and version of the other calls are those of a full decoding', (t) => {
  const kinds = {
    ModelReady: ModelReadyRequest,
    ModelMetadata: ModelMetadataRequest,
    ModelConfig: ModelConfigRequest,
    ModelStatistics: ModelStatisticsRequest,
  };
  const check = (model: string, version: string): void => {
    for (const [method, kind] of Object.entries(kinds)) {
      const call = scanned(method, kind.encode({ name: model, version }).finish());
      t.deepEqual([call.model, call.version], [model, version]);
    }
  };
  t.notThrows(() => fc.assert(fc.property(name, name, check)));
});

test('loading and unloading name their model in field 2', (t) => {
  const kinds = {
    RepositoryModelLoad: RepositoryModelLoadRequest,
    RepositoryModelUnload: RepositoryModelUnloadRequest,
  };
  const check = (repositoryName: string, modelName: string): void => {
    for (const [method, kind] of Object.entries(kinds)) {
      const request = kind.fromPartial({ repositoryName, modelName });
      const call = scanned(method, kind.encode(request).finish());
      t.deepEqual([call.model, call.version], [modelName, '']);
    }
  };
  t.notThrows(() => fc.assert(fc.property(name, name, check)));
});

test('of a repeated name the last one counts, and fields may come in any order', (t) => {
  const check = (requests: Parameters<typeof ModelInferRequest.fromPartial>[0][]): void => {
    // Messages one after another are their merge.
    const message = Buffer.concat(requests.map(encodeInfer));
    const decoded = ModelInferRequest.decode(message);
    const call = scanned('ModelInfer', message);
    t.deepEqual([call.model, call.version], [decoded.modelName, decoded.modelVersion]);
  };
  const requests = fc.array(inferRequest, { maxLength: 3 });
  t.notThrows(() => fc.assert(fc.property(requests, check), { numRuns: 50 }));
  const reversed = Uint8Array.from([0x12, 1, 0x37, 0x0a, 1, 0x61, 0x12, 0, 0x0a, 1, 0x62]);
  t.like(scanned('ModelInfer', reversed), { model: 'b', version: '' });
});

test('a name under another wire type is an unknown field', (t) => {
  t.is(scanned('ModelInfer', Uint8Array.of(0x0a, 1, 0x61, 0x08, 5)).model, 'a');
});

test('calls that name no model, and unknown ones, are undefined', (t) => {
  const named = new Set(['ModelInfer', 'ModelStreamInfer', 'ModelReady', 'ModelMetadata']);
  for (const other of ['ModelConfig', 'ModelStatistics']) named.add(other);
  for (const other of ['RepositoryModelLoad', 'RepositoryModelUnload']) named.add(other);
  for (const { name: method } of Object.values(GRPCInferenceServiceDefinition.methods)) {
    t.is(scanModelCall(path(method), new Uint8Array()) !== undefined, named.has(method), method);
  }
  t.is(scanModelCall('/other.Service/ModelInfer', new Uint8Array()), undefined);
});

test('a request that is cut short is refused or means less, but nothing else', (t) => {
  const message = encodeInfer({
    modelName: 'digits',
    id: 'r',
    rawInputContents: [Buffer.alloc(9)],
  });
  for (let length = 0; length < message.length; length++) {
    try {
      t.true(['', 'digits'].includes(scanned('ModelInfer', message.subarray(0, length)).model));
    } catch (error) {
      t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
    }
  }
});

test('any bytes give an answer that a full decoding agrees with, or INVALID_ARGUMENT', (t) => {
  // ModelReadyRequest has the name in the same field and nothing nested: what it steps over, we do.
  const decodedName = (message: Uint8Array): string | undefined => {
    try {
      return ModelReadyRequest.decode(message).name;
    } catch {
      return undefined;
    }
  };
  const check = (message: Uint8Array): void => {
    try {
      const { model } = scanned('ModelInfer', message);
      t.is(decodedName(message) ?? model, model);
    } catch (error) {
      t.true(error instanceof StatusError && error.code === Code.INVALID_ARGUMENT);
    }
  };
  const mutated = fc
    .tuple(
      inferRequest.map(encodeInfer),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
    )
    .map(([message, changes]) => {
      for (const [at, value] of changes)
        if (message.length > 0) message[at % message.length] = value;
      return message;
    });
  t.notThrows(() => fc.assert(fc.property(fc.oneof(bytes, mutated), check), { numRuns: 2_000 }));
});

test('names that are not UTF-8 or too long are refused', (t) => {
  for (const tag of [0x0a, 0x12]) {
    const invalid = Uint8Array.of(tag, 2, 0xc3, 0x28);
    const error = t.throws(() => scanModelCall(INFER, invalid), { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, /not valid UTF-8/);
  }
  const long = encodeInfer({ modelName: 'm'.repeat(MAX_NAME_BYTES + 1) });
  t.throws(() => scanModelCall(INFER, long), { message: /more than 1024 bytes/ });
  t.is(scanned('ModelInfer', long.subarray(0, 0)).model, '');
});
