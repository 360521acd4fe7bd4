import test from 'ava';
import { Code } from '../common/status.ts';
import {
  InferResponseStatistics,
  ModelStatisticsResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { Job, JobKind, JobState } from '../proto/gen/torus/v1/job.ts';
import { messageOf } from './contracts.ts';
import { encodeJson, inferenceJson, torusJson } from './message-json.ts';

const job = messageOf('torus.v1.Job');
const spec = messageOf('torus.v1.TrainingSpec');

test('what is printed is read again, by this and by the generated code', (t) => {
  const message = Job.fromPartial({
    name: 'jobs/j',
    kind: JobKind.TRAIN,
    state: JobState.RUNNING,
    spec: { $case: 'training', training: { modelId: 'm', seed: 2n ** 60n, promote: true } },
    progress: { fraction: 0.5, metrics: { loss: 0.25 } },
    createTime: new Date(1_700_000_000_123),
  });
  const bytes = Job.encode(message).finish();
  const json = torusJson(job, bytes);
  t.deepEqual(Job.fromJSON(json), message);
  t.deepEqual(Job.decode(encodeJson(job, json as never)), message);
  t.like(json, { training: { seed: String(2n ** 60n) }, createTime: '2023-11-14T22:13:20.123Z' });
});

test('unknown fields, wrong types and unknown names are refused, naming them', (t) => {
  const wrong: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ modelid: 'm' }, /"modelid" is unknown; known are dataSet, targetColumn, /],
    [{ hyperparameters: { momentum: 1 } }, /"momentum" is unknown; known are epochs, batchSize,/],
    [{ modelId: 5 }, /TrainingSpec.model_id/],
    [{ seed: '1.5' }, /TrainingSpec.seed/],
    [{ seed: '9223372036854775808' }, /TrainingSpec.seed/],
    [{ hyperparameters: [] }, /[Hh]yperparameters/],
    [{ hyperparameters: { hiddenUnits: [1, 'x'] } }, /hidden_units/],
    [{ hyperparameters: { epochs: 1e10 } }, /epochs/],
    [{ algorithm: 'MAGIC' }, /enum Algorithm.*one of ALGORITHM_UNSPECIFIED, ALGORITHM_LINEAR/],
  ];
  for (const [json, message] of wrong) {
    t.throws(() => encodeJson(spec, json as never), {
      message,
      code: Code.INVALID_ARGUMENT,
    } as never);
  }
});

test('numbers of 64 bits are exact numbers in the other dialect, in lists and maps too', (t) => {
  const statistics = ModelStatisticsResponse.fromPartial({
    modelStats: [
      {
        name: 'm',
        lastInference: 2n ** 63n,
        responseStats: new Map([
          ['0', InferResponseStatistics.fromPartial({ success: { count: 1n, ns: 2n ** 60n } })],
        ]),
      },
    ],
  });
  const bytes = ModelStatisticsResponse.encode(statistics).finish();
  const text = JSON.stringify(inferenceJson(messageOf('inference.ModelStatisticsResponse'), bytes));
  t.true(text.includes('"last_inference":9223372036854775808'));
  t.true(text.includes('"ns":1152921504606846976'));
  t.true(text.includes('"batch_stats":[]'));
});

test('bytes that are no such message are an error of who sent them', (t) => {
  t.throws(() => torusJson(job, Buffer.from([0xff])), { code: Code.INTERNAL } as never);
});
