import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import { batchingOf } from './batching.ts';
import { policyOf } from './policy.ts';

function config(parameters: Record<string, string>): ModelConfig {
  const values = Object.entries(parameters).map(([key, stringValue]) => [key, { stringValue }]);
  return { ...ModelConfig.fromPartial({}), parameters: new Map(values as [string, never][]) };
}

test('torus_ parameters are the policy, others are left alone', (t) => {
  const stated = {
    torus_min_copies: '0',
    torus_max_copies: ' 3 ',
    torus_idempotent: 'false',
    torus_hedging: '0',
    torus_zone_spread: 'true',
    torus_max_run_ms: '1500',
    torus_max_load_ms: '9000',
    torus_execution: 'inline',
    FORCE_CPU_ONLY_INPUT_TENSORS: 'no',
  };
  t.deepEqual(policyOf(config(stated)), {
    minCopies: 0,
    maxCopies: 3,
    isIdempotent: false,
    allowsHedging: false,
    spreadsZones: true,
    maxRunMs: 1500,
    maxLoadMs: 9000,
    execution: 'inline',
  });
  t.deepEqual(policyOf(config({ other: 'x' })), {});
});

test('a wrong parameter is INVALID_ARGUMENT and says what would be right', (t) => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ torus_copies: '1' }, /'torus_copies', only these exist: torus_min_copies, /],
    [{ torus_toString: '1' }, /only these exist/],
    [{ torus_min_copies: '-1' }, /from 0 to 1000, not "-1"/],
    [{ torus_min_copies: '1.5' }, /whole number/],
    [{ torus_max_copies: '0' }, /from 1 to 1000, not "0"/],
    [{ torus_execution: 'gpu' }, /must be auto, inline, worker, not "gpu"/],
    [{ torus_idempotent: 'yes' }, /must be true or false, not "yes"/],
    [{ torus_min_copies: '2', torus_max_copies: '1' }, /2 is more than torus_max_copies 1/],
    [{ torus_hedging: 'true', torus_idempotent: 'false' }, /sends calls twice/],
  ];
  for (const [parameters, message] of cases) {
    const error = t.throws(() => policyOf(config(parameters)), {
      instanceOf: StatusError,
      message,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
  }
});

test('batching settings past what can be counted with are refused', (t) => {
  t.is(batchingOf(config({ intra_op_thread_count: '0' })).intraOpThreads, undefined);
  for (const text of ['-1', '257', 'many', '']) {
    t.throws(() => batchingOf(config({ intra_op_thread_count: text })), { message: /0 to 256/ });
  }
  const scheduling = ModelConfig.fromPartial({
    schedulingChoice: {
      $case: 'dynamicBatching',
      dynamicBatching: { maxQueueDelayMicroseconds: 2n ** 60n },
    },
  });
  t.throws(() => batchingOf(scheduling), { message: /at most 9007199254740991/ });
});
