import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { Datatype, TensorSpec } from '../../common/tensor.ts';
import {
  DataType,
  type ModelConfig,
  ModelInstanceGroup_Kind,
} from '../../proto/gen/inference/model_config.ts';
import { configuredSignature, type ModelSignature } from '../signature.ts';
import { batchingOf } from './batching.ts';
import { completeConfig, DEFAULT_MAX_BATCH_SIZE, MAX_INSTANCES } from './derive.ts';
import { parseConfig } from './pbtxt.ts';

function spec(name: string, shape: number[], datatype: Datatype = 'FP32'): TensorSpec {
  return { name, datatype, shape };
}

const CLASSIFIER: ModelSignature = {
  inputs: [spec('x', [-1, 4]), spec('species', [-1], 'BYTES')],
  outputs: [spec('label', [-1], 'INT64'), spec('probabilities', [-1, 3])],
};
const FIXED: ModelSignature = {
  inputs: [spec('x', [1, 3, 224, 224])],
  outputs: [spec('y', [1, 1000])],
};

function complete(text: string, signature: ModelSignature = CLASSIFIER, name = 'm'): ModelConfig {
  return completeConfig(parseConfig(text), signature, name);
}

test('without config.pbtxt everything comes from the model', (t) => {
  const config = completeConfig(undefined, CLASSIFIER, 'penguins');
  t.like(config, {
    name: 'penguins',
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    maxBatchSize: DEFAULT_MAX_BATCH_SIZE,
    defaultModelFilename: 'model.onnx',
  });
  t.deepEqual(config.versionPolicy?.policyChoice, { $case: 'latest', latest: { numVersions: 1 } });
  t.is(config.schedulingChoice?.$case, 'dynamicBatching');
  t.is(config.instanceGroup.length, 1);
  t.like(config.instanceGroup[0], {
    name: 'penguins',
    count: 1,
    kind: ModelInstanceGroup_Kind.KIND_CPU,
  });
  t.true(config.optimization?.inputPinnedMemory?.enable);
  t.like(config.input[0], { name: 'x', dataType: DataType.TYPE_FP32, dims: [4n] });
  // Nothing is left of [-1] but the batch: Triton shows [1] and reshapes.
  t.like(config.input[1], { dataType: DataType.TYPE_STRING, dims: [1n], reshape: { shape: [] } });
  t.like(config.output[1], { name: 'probabilities', dims: [3n] });
  t.is(config.output[1]?.reshape, undefined);
});

test('clients see the batch dimension first, and the reshape beside it', (t) => {
  const config = completeConfig(undefined, CLASSIFIER, 'm');
  t.deepEqual(configuredSignature(config, CLASSIFIER), {
    maxBatchSize: DEFAULT_MAX_BATCH_SIZE,
    inputs: [
      { index: 0, spec: spec('x', [-1, 4]), reshape: undefined, labelFilename: '' },
      { index: 1, spec: spec('species', [-1, 1], 'BYTES'), reshape: [], labelFilename: '' },
    ],
    outputs: [
      { index: 0, spec: spec('label', [-1, 1], 'INT64'), reshape: [], labelFilename: '' },
      { index: 1, spec: spec('probabilities', [-1, 3]), reshape: undefined, labelFilename: '' },
    ],
  });
});

test('a model without an open first dimension everywhere is served without batching', (t) => {
  const config = completeConfig(undefined, FIXED, 'm');
  t.is(config.maxBatchSize, 0);
  t.is(config.schedulingChoice, undefined);
  t.deepEqual(config.input[0]?.dims, [1n, 3n, 224n, 224n]);
  t.deepEqual(configuredSignature(config, FIXED).inputs[0]?.spec.shape, [1, 3, 224, 224]);
  const stateful = {
    inputs: [spec('x', [-1, 576]), spec('state', [2, -1, 128]), spec('sr', [], 'INT64')],
    outputs: [spec('y', [-1, 1])],
  };
  const silero = completeConfig(undefined, stateful, 'm');
  t.is(silero.maxBatchSize, 0);
  t.like(silero.input[2], { dims: [1n], reshape: { shape: [] } });
  t.is(completeConfig(undefined, { inputs: [], outputs: FIXED.outputs }, 'm').maxBatchSize, 0);
});

test('what is stated stays, what is left out is filled in', (t) => {
  const config = complete(`
    max_batch_size: 16
    output { name: "probabilities" data_type: TYPE_FP32 dims: 3 label_filename: "labels.txt" }
    instance_group [ { count: 2 }, { name: "b" kind: KIND_CPU } ]
    dynamic_batching { preferred_batch_size: [8, 4, 8] max_queue_delay_microseconds: 100
      default_queue_policy { max_queue_size: 50 default_timeout_microseconds: 7
        allow_timeout_override: true } }
    parameters { key: "torus_max_run_ms" value { string_value: "500" } }
    parameters { key: "intra_op_thread_count" value { string_value: "2" } }
    version_policy { all {} }`);
  t.is(config.input.length, 2);
  t.is(config.versionPolicy?.policyChoice?.$case, 'all');
  t.deepEqual(
    config.instanceGroup.map(({ name, count }) => [name, count]),
    [
      ['m_0', 2],
      ['b', 1],
    ],
  );
  const { outputs } = configuredSignature(config, CLASSIFIER);
  t.deepEqual(outputs, [
    {
      index: 1,
      spec: spec('probabilities', [-1, 3]),
      reshape: undefined,
      labelFilename: 'labels.txt',
    },
  ]);
  t.deepEqual(batchingOf(config), {
    maxBatchSize: 16,
    preferredBatchSizes: [4, 8],
    maxQueueDelayUs: 100,
    maxQueueSize: 50,
    queueTimeout: { defaultUs: 7, allowsOverride: true },
    instanceCount: 3,
    intraOpThreads: 2,
    maxRunMs: 500,
    maxLoadMs: undefined,
    execution: undefined,
  });
});

test('0 is meant when inputs and outputs are stated, or with whole dims', (t) => {
  const io = `input [{ name: "x" dims: [-1, 4] data_type: TYPE_FP32 }, { name: "species" }]
    output { name: "label" dims: -1 data_type: TYPE_INT64 }`;
  t.is(complete(io).maxBatchSize, 0);
  t.is(complete('input [{ name: "x" dims: [-1, 4] }, { name: "species" }]').maxBatchSize, 0);
  t.is(complete('input [{ name: "x" dims: [4] }, { name: "species" }]').maxBatchSize, 64);
  t.is(complete('max_batch_size: 1').schedulingChoice, undefined);
});

test('an open and a fixed dimension make a fixed one; a reshape keeps its elements', (t) => {
  const signature = { inputs: [spec('x', [-1, -1, 6])], outputs: [spec('y', [-1, 2])] };
  const config = complete(
    `max_batch_size: 2 input { name: "x" dims: [5, -1] }
     output { name: "y" dims: [1, -1] reshape { shape: [-1] } }`,
    { ...signature, outputs: [spec('y', [-1, -1])] },
  );
  t.deepEqual(config.input[0]?.dims, [5n, 6n]);
  t.deepEqual(configuredSignature(config, signature).outputs[0], {
    index: 0,
    spec: spec('y', [-1, 1, -1]),
    reshape: [-1],
    labelFilename: '',
  });
  const image = { inputs: [spec('x', [-1, 12])], outputs: [spec('y', [-1])] };
  const text = 'max_batch_size: 2 input { name: "x" dims: [3, 4] reshape { shape: [12] } }';
  t.deepEqual(complete(text, image).input[0]?.dims, [3n, 4n]);
});

const CONTRADICTIONS: [string, RegExp, ModelSignature?][] = [
  ['name: "other"', /names the model 'other', but it is 'm'/],
  ['max_batch_size: -1', /must be 0 or more, not -1/],
  ['max_batch_size: 8', /8, but model 'm' can't batch: its input 'x' is \[1,3,224,224\]/, FIXED],
  ['input { name: "z" }', /states input 'z', but the model's inputs are 'x', 'species'/],
  ['input { name: "x" }', /states 'x' as inputs, but the model also needs 'species'/],
  ['input [{ name: "x" }, { name: "x" }]', /states input 'x' twice/],
  ['output { name: "y" }', /states output 'y', but the model's outputs are 'label', 'prob/],
  [
    'output { name: "label" data_type: TYPE_INT32 dims: 1 }',
    /output 'label' as INT32, but the model has INT64/,
  ],
  [
    'max_batch_size: 4 output { name: "probabilities" dims: [4] }',
    /output 'probabilities' with dims \[4\], but the model has \[-1,3\], the first being the batch/,
  ],
  ['input { name: "x" dims: [3, 224, 224] }', /dims \[3,224,224\].*max_batch_size is 0/, FIXED],
  ['input { name: "x" dims: [-2, 3, 224, 224] }', /dims \[-2,3,224,224\]/, FIXED],
  [
    'max_batch_size: 4 output { name: "probabilities" dims: [2] reshape { shape: [3] } }',
    /from \[2\] to \[3\], which has not the same elements/,
  ],
  [
    'max_batch_size: 4 output { name: "probabilities" dims: [4] reshape { shape: [4] } }',
    /dims \[4\] reshaped to \[4\], but the model has \[-1,3\]/,
  ],
  ['output { name: "label" reshape { shape: [1] } }', /reshapes output 'label' but states no dims/],
  ['max_batch_size: 4 dynamic_batching { preferred_batch_size: 5 }', /5 must be 1 to max_batch_s/],
  ['default_model_filename: "../m.onnx"', /must be a plain path/],
  [`instance_group { count: ${MAX_INSTANCES + 1} }`, /asks for 65 instances, at most 64/],
  ['instance_group { count: -1 }', /counts -1/],
  [
    'max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 9007199254740993 }',
    /at most/,
  ],
  [
    'parameters { key: "intra_op_thread_count" value { string_value: "257" } }',
    /'intra_op_thread_count' must be 0 to 256, not "257"/,
  ],
];

test('what contradicts the model is INVALID_ARGUMENT with both sides', (t) => {
  for (const [text, message, signature] of CONTRADICTIONS) {
    const error = t.throws(
      () => complete(text, signature),
      { instanceOf: StatusError, message },
      text,
    );
    t.is(error?.code, Code.INVALID_ARGUMENT, text);
  }
});

test('what Torus does not do is UNIMPLEMENTED and named', (t) => {
  const cases: [string, RegExp][] = [
    ['backend: "python"', /backend 'python', only ONNX models are served/],
    ['platform: "tensorflow_savedmodel"', /platform 'tensorflow_savedmodel'/],
    ['sequence_batching {}', /sequence_batching/],
    ['ensemble_scheduling {}', /ensemble_scheduling/],
    ['dynamic_batching { priority_levels: 2 }', /priority_levels/],
    ['dynamic_batching { default_queue_policy { timeout_action: DELAY } }', /timeout_action DELAY/],
    ['model_transaction_policy { decoupled: true }', /decoupled/],
    ['input { name: "x" optional: true }', /optional input 'x'/],
    ['input { name: "x" allow_ragged_batch: true }', /allow_ragged_batch of 'x'/],
    ['output { name: "x" is_shape_tensor: true }', /is_shape_tensor of 'x'/],
    ['model_operations { op_library_filename: "a.so" }', /model_operations/],
    ['model_repository_agents { agents { name: "checksum" } }', /model_repository_agents/],
    ['instance_group { kind: KIND_GPU }', /instances on a GPU/],
    ['instance_group { gpus: [0] }', /instances on a GPU/],
    ['instance_group { passive: true }', /passive instances/],
    ['runtime: "a.so"', /runtime/],
    ['batch_input { kind: BATCH_ELEMENT_COUNT }', /batch_input/],
    ['cc_model_filenames { key: "7.5" value: "a" }', /cc_model_filenames/],
  ];
  for (const [text, message] of cases) {
    const error = t.throws(() => complete(text), { instanceOf: StatusError, message }, text);
    t.is(error?.code, Code.UNIMPLEMENTED, text);
  }
});

test('the stated config is not changed, and completing twice changes nothing', (t) => {
  const stated = parseConfig('instance_group { count: 0 } optimization { eager_batching: true }');
  const before = structuredClone(stated);
  const once = completeConfig(stated, CLASSIFIER, 'm');
  t.deepEqual(stated, before);
  t.deepEqual(completeConfig(once, CLASSIFIER, 'm'), once);
  t.true(once.optimization?.eagerBatching);
});
