// proto/gen/ is what the contracts give, our API passes the linter, and the code runs: messages
// survive encoding and decoding, unknown fields and enum numbers do not break them.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import test from 'ava';
import { GRPCInferenceServiceDefinition, ModelInferRequest } from './gen/inference/grpc_service.ts';
import { DataType, ModelConfig } from './gen/inference/model_config.ts';
import { TensorProto } from './gen/tensorflow/core/framework/tensor.ts';
import { PredictRequest } from './gen/tensorflow_serving/apis/predict.ts';
import { Job, JobKind, JobState } from './gen/torus/v1/job.ts';
import { JobServiceClient, JobServiceService } from './gen/torus/v1/job_service.ts';

const ROOT = join(import.meta.dirname, '..');

test('the generated code is up to date and torus/v1 passes buf lint', async (t) => {
  const script = join(ROOT, 'scripts', 'proto.ts');
  await t.notThrowsAsync(promisify(execFile)(process.execPath, [script, '--check']));
});

test('ModelInferRequest survives a round trip, hostile map keys included', (t) => {
  const request = ModelInferRequest.fromPartial({
    modelName: 'digits',
    modelVersion: '3',
    id: 'r1',
    parameters: new Map([
      ['__proto__', { parameterChoice: { $case: 'int64Param', int64Param: -(2n ** 63n) } }],
      ['priority', { parameterChoice: { $case: 'uint64Param', uint64Param: 2n ** 64n - 1n } }],
    ]),
    inputs: [
      {
        name: 'x',
        datatype: 'FP32',
        shape: [1n, 2n],
        contents: { fp32Contents: [0.5, -1], bytesContents: [Uint8Array.of(1, 2)] },
      },
    ],
    rawInputContents: [Uint8Array.of(0, 255), Uint8Array.of()],
  });
  t.deepEqual(ModelInferRequest.decode(ModelInferRequest.encode(request).finish()), request);
});

test('decoded bytes are views into the message, not copies', (t) => {
  const raw = new Uint8Array(4096).fill(7);
  const bytes = ModelInferRequest.encode(
    ModelInferRequest.fromPartial({ rawInputContents: [raw] }),
  ).finish();
  const [view] = ModelInferRequest.decode(bytes).rawInputContents;
  t.is(view?.buffer, bytes.buffer);
  t.is(view?.byteLength, 4096);
});

test('ModelConfig survives a round trip and is read from JSON with proto names', (t) => {
  const config = ModelConfig.fromJSON({
    name: 'digits',
    max_batch_size: '16',
    input: [{ name: 'x', data_type: 'TYPE_FP32', dims: ['-1', 64] }],
    dynamic_batching: { preferred_batch_size: [8], max_queue_delay_microseconds: '100' },
    parameters: { a: { string_value: 'b' } },
  });
  t.is(config.maxBatchSize, 16);
  t.is(config.input[0]?.dataType, DataType.TYPE_FP32);
  t.deepEqual(config.input[0]?.dims, [-1n, 64n]);
  t.is(config.schedulingChoice?.$case, 'dynamicBatching');
  t.is(config.parameters.get('a')?.stringValue, 'b');
  t.deepEqual(ModelConfig.decode(ModelConfig.encode(config).finish()), config);
});

test('PredictRequest survives a round trip; its version is absent, a number or a label', (t) => {
  const request = PredictRequest.fromPartial({
    modelSpec: { name: 'm', versionChoice: { $case: 'version', version: 7n } },
    inputs: new Map([
      ['x', TensorProto.fromPartial({ tensorShape: { dim: [{ size: 2n }] }, floatVal: [1, 2] })],
    ]),
    outputFilter: ['y'],
  });
  t.deepEqual(PredictRequest.decode(PredictRequest.encode(request).finish()), request);
  const bare = PredictRequest.decode(Uint8Array.of(0x0a, 0x00));
  t.is(bare.modelSpec?.versionChoice, undefined);
});

test('Job survives a round trip; its JSON has enum names and RFC 3339 times', (t) => {
  const job = Job.fromPartial({
    name: 'jobs/1',
    kind: JobKind.TRAIN,
    state: JobState.RUNNING,
    spec: { $case: 'training', training: { dataSet: 'datasets/digits', heldOutRatio: 0 } },
    progress: { fraction: 0.5, metrics: { loss: 0.25 } },
    createTime: new Date(1_700_000_000_000),
  });
  t.deepEqual(Job.decode(Job.encode(job).finish()), job);
  const json: unknown = JSON.parse(JSON.stringify(Job.toJSON(job)));
  t.like(json, {
    kind: 'JOB_KIND_TRAIN',
    state: 'JOB_STATE_RUNNING',
    training: { heldOutRatio: 0 },
    createTime: '2023-11-14T22:13:20.000Z',
  });
  t.deepEqual(Job.fromJSON(json), job);
});

test('unknown fields are skipped, an unknown enum number is kept or told', (t) => {
  const writer = new BinaryWriter().uint32(15_002).bytes(Uint8Array.of(1, 2, 3));
  const job = Job.decode(writer.uint32(16).int32(99).finish());
  t.is(job.kind, JobKind.UNRECOGNIZED);
  const tensor = TensorProto.decode(Uint8Array.of(8, 77));
  t.is(Number(tensor.dtype), 77);
  t.deepEqual(TensorProto.encode(tensor).finish(), Uint8Array.of(8, 77));
});

test('services are defined: ours for grpc-js, the others for any transport', (t) => {
  t.is(JobServiceService.watchJob.path, '/torus.v1.JobService/WatchJob');
  t.true(JobServiceService.watchJob.responseStream);
  t.is(typeof JobServiceClient, 'function');
  t.is(GRPCInferenceServiceDefinition.fullName, 'inference.GRPCInferenceService');
  t.is(Object.keys(GRPCInferenceServiceDefinition.methods).length, 20);
});

test('the descriptor set holds every service and all that its files import', (t) => {
  const bytes = readFileSync(join(ROOT, 'proto', 'gen', 'descriptors.binpb'));
  const { file } = fromBinary(FileDescriptorSetSchema, bytes);
  const names = new Set(file.map((one) => one.name));
  t.deepEqual(
    file.flatMap((one) => one.dependency).filter((name) => !names.has(name)),
    [],
  );
  const services = file.flatMap((one) =>
    one.service.map((service) => `${one.package}.${service.name}`),
  );
  t.deepEqual(services.sort(), [
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    'inference.GRPCInferenceService',
    'tensorflow.serving.ModelService',
    'tensorflow.serving.PredictionService',
    'torus.v1.ClusterService',
    'torus.v1.DataSetService',
    'torus.v1.JobService',
    'torus.v1.ModelService',
  ]);
});
