// TensorFlow Serving's calls from a client of another make, through the router to real nodes and
// models: over sockets, where the router passes bytes on, and within one process.
import { type ServiceError, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { TensorProto } from '../proto/gen/tensorflow/core/framework/tensor.ts';
import { SignatureDefMap } from '../proto/gen/tensorflow_serving/apis/get_model_metadata.ts';
import {
  GetModelStatusRequest,
  GetModelStatusResponse,
} from '../proto/gen/tensorflow_serving/apis/get_model_status.ts';
import { PredictRequest, PredictResponse } from '../proto/gen/tensorflow_serving/apis/predict.ts';
import { NODE_METHODS } from '../router/router.ts';
import { connectGrpc } from '../transport/client/client.ts';
import { invokeUnary } from '../transport/invoke.ts';
import { call } from './support/inference-client.ts';
import { startNodeCluster } from './support/node-cluster.ts';
import { outsideClient } from './support/outside-client.ts';
import { addModel, identitiesModel, identityModel } from './support/tiny-onnx.ts';

const KINDS = ['FP32', 'FP64', 'INT32', 'INT8', 'UINT8', 'INT64', 'BOOL', 'UINT64'] as const;
const FILES = {
  'add/3/model.onnx': addModel(2),
  'all/1/model.onnx': identitiesModel(KINDS),
  'text/1/model.onnx': identityModel('BYTES', ['n']),
};

const PREDICT = '/tensorflow.serving.PredictionService/Predict';
const APIS = 'tensorflow_serving/apis';

interface Tensor {
  readonly dtype: string;
  readonly tensor_shape: { readonly dim: readonly { readonly size: string }[] };
  readonly [field: string]: unknown;
}

interface Predicted {
  readonly outputs: Record<string, Tensor>;
  readonly model_spec: unknown;
}

async function serving(t: ExecutionContext, isLocal: boolean, nodes = { n1: FILES, n2: FILES }) {
  const cluster = await startNodeCluster(nodes, isLocal);
  const prediction = outsideClient(cluster.address, {
    file: `${APIS}/prediction_service.proto`,
    service: 'tensorflow.serving.PredictionService',
  });
  const models = outsideClient(cluster.address, {
    file: `${APIS}/model_service.proto`,
    service: 'tensorflow.serving.ModelService',
  });
  t.teardown(async () => {
    prediction.close();
    models.close();
    await cluster.stop();
  });
  return { ...cluster, prediction, models };
}

const shape = (...dims: readonly number[]) => ({ dim: dims.map((size) => ({ size })) });
const floats = (values: readonly number[], ...dims: readonly number[]) => ({
  dtype: 'DT_FLOAT',
  tensor_shape: shape(...dims),
  float_val: values,
});
const content = (values: readonly number[], ...dims: readonly number[]) => ({
  dtype: 'DT_FLOAT',
  tensor_shape: shape(...dims),
  tensor_content: Buffer.from(new Float32Array(values).buffer),
});
const ADD = {
  model_spec: { name: 'add' },
  inputs: { a: floats([1, 2], 1, 2), b: content([10, 20], 1, 2) },
};

async function refusal(answer: Promise<unknown>): Promise<ServiceError> {
  try {
    await answer;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error('it was answered');
}

for (const isLocal of [false, true]) {
  const where = isLocal ? 'in one process' : 'over sockets';

  test(`${where}: Predict takes typed values and content, answers typed values`, async (t) => {
    const { prediction, nodes } = await serving(t, isLocal);
    const answer = (await prediction.call('Predict', ADD)) as unknown as Predicted;
    t.deepEqual(answer.outputs.sum?.float_val, [11, 22]);
    t.deepEqual(
      answer.outputs.sum?.tensor_shape.dim.map(({ size }) => size),
      ['1', '2'],
    );
    t.like(answer.model_spec, {
      name: 'add',
      signature_name: 'serving_default',
      version: { value: '3' },
    });
    const counted = await Promise.all(
      nodes.map(async ({ node }) => {
        const { modelStats } = await call(node.backend, 'modelStatistics', { name: 'add' });
        return modelStats[0]?.inferenceStats?.success?.count;
      }),
    );
    t.deepEqual([...counted].sort(), [0n, 1n], 'counted where it ran');
    const named = {
      ...ADD,
      model_spec: { name: 'add', version: { value: 3 }, signature_name: 'serving_default' },
      output_filter: ['sum'],
    };
    const again = (await prediction.call('Predict', named)) as unknown as Predicted;
    t.deepEqual(again.outputs.sum?.float_val, [11, 22]);
  });

  test(`${where}: every datatype goes in and out, strings too`, async (t) => {
    const { prediction } = await serving(t, isLocal);
    const field = {
      FP32: ['DT_FLOAT', 'float_val', [1.5, -2]],
      FP64: ['DT_DOUBLE', 'double_val', [1.25, -3]],
      INT32: ['DT_INT32', 'int_val', [-7, 2 ** 30]],
      INT8: ['DT_INT8', 'int_val', [-128, 5]],
      UINT8: ['DT_UINT8', 'int_val', [255, 0]],
      INT64: ['DT_INT64', 'int64_val', ['-9007199254740993', '3']],
      BOOL: ['DT_BOOL', 'bool_val', [true, false]],
      UINT64: ['DT_UINT64', 'uint64_val', ['18446744073709551615', '0']],
    } as const;
    const inputs = Object.fromEntries(
      KINDS.map((kind) => {
        const [dtype, name, values] = field[kind];
        return [`x_${kind}`, { dtype, tensor_shape: shape(1, 2), [name]: values }];
      }),
    );
    const request = { model_spec: { name: 'all' }, inputs };
    const { outputs } = (await prediction.call('Predict', request)) as unknown as Predicted;
    for (const kind of KINDS) {
      const [dtype, name, values] = field[kind];
      t.is(outputs[`y_${kind}`]?.dtype, dtype);
      t.deepEqual(outputs[`y_${kind}`]?.[name], values as unknown, kind);
    }
    const texts = ['zwölf', '', 'x'].map((one) => Buffer.from(one));
    const asked = {
      model_spec: { name: 'text' },
      inputs: { x: { dtype: 'DT_STRING', tensor_shape: shape(3, 1), string_val: texts } },
    };
    const told = (await prediction.call('Predict', asked)) as unknown as Predicted;
    t.deepEqual(told.outputs.y?.string_val, texts);
  });

  test(`${where}: mistakes are told in the words of TensorFlow Serving`, async (t) => {
    const { prediction } = await serving(t, isLocal);
    const { a } = ADD.inputs;
    const spec = (more: object) => ({ ...ADD, model_spec: { name: 'add', ...more } });
    const cases: readonly (readonly [request: object, code: number, text: RegExp])[] = [
      [{ inputs: {} }, status.INVALID_ARGUMENT, /Missing ModelSpec/],
      [{ model_spec: {} }, status.INVALID_ARGUMENT, /ModelSpec has no name specified\./],
      [
        { model_spec: { name: 'none' } },
        status.NOT_FOUND,
        /Servable not found for request: Latest\(none\)/,
      ],
      [spec({ version: { value: 7 } }), status.NOT_FOUND, /request: Specific\(add, 7\)/],
      [spec({ version: { value: -1 } }), status.NOT_FOUND, /request: Specific\(add, -1\)/],
      [spec({ version_label: 'old' }), status.INVALID_ARGUMENT, /Unrecognized .* label: old/],
      [
        spec({ signature_name: 'other' }),
        status.FAILED_PRECONDITION,
        /Serving signature key "other" not found\./,
      ],
      [
        { ...ADD, inputs: { a } },
        status.INVALID_ARGUMENT,
        /: 1!=2 len\(\{a\}\) != len\(\{a,b\}\)\. Sent extra: \{\}\. Missing but required: \{b\}\./,
      ],
      [
        { ...ADD, inputs: { a, z: a } },
        status.INVALID_ARGUMENT,
        /Signature input alias: b\(feed name: b:0\) not found in request/,
      ],
      [
        { ...ADD, inputs: { a, b: floats([1], -1) } },
        status.INVALID_ARGUMENT,
        /tensor parsing error: b/,
      ],
      [
        { ...ADD, output_filter: ['z'] },
        status.INVALID_ARGUMENT,
        /output tensor alias not found in signature: z Outputs expected to be in the set \{sum\}\./,
      ],
      [
        { ...ADD, output_filter: ['sum', 'sum'] },
        status.INVALID_ARGUMENT,
        /duplicate output tensor alias: sum/,
      ],
      [
        { ...ADD, inputs: { a, b: { ...a, dtype: 'DT_COMPLEX64' } } },
        status.INVALID_ARGUMENT,
        /tensor parsing error: b .*type 8/,
      ],
      [
        { ...ADD, inputs: { a, b: { ...a, dtype: 'DT_INT32' } } },
        status.INVALID_ARGUMENT,
        /data-type is 'INT32', but model 'add' expects 'FP32'/,
      ],
      [
        { ...ADD, inputs: { a, b: floats([1], 1, 3) } },
        status.INVALID_ARGUMENT,
        /unexpected shape/,
      ],
      [
        { ...ADD, inputs: { a, b: floats([1], 2 ** 24, 2) } },
        status.INVALID_ARGUMENT,
        /batch-size must be <= 64/,
      ],
      [
        { ...ADD, inputs: { a, b: content([1], 1, 2) } },
        status.INVALID_ARGUMENT,
        /tensor parsing error: b .*4 bytes, 8 are expected/,
      ],
    ];
    for (const [request, code, text] of cases) {
      const error = await refusal(prediction.call('Predict', request));
      t.is(error.code, code, error.details);
      t.regex(error.details, text);
    }
  });

  test(`${where}: metadata, status, and what is not supported`, async (t) => {
    const { prediction, models } = await serving(t, isLocal);
    const asked = { model_spec: { name: 'add' }, metadata_field: ['signature_def'] };
    const { metadata, model_spec } = await prediction.call('GetModelMetadata', asked);
    t.like(model_spec, { name: 'add', version: { value: '3' }, signature_name: '' });
    const any = (metadata as Record<string, { type_url: string; value: Buffer }>).signature_def;
    t.is(any?.type_url, 'type.googleapis.com/tensorflow.serving.SignatureDefMap');
    const { signatureDef } = SignatureDefMap.decode(any?.value ?? Buffer.alloc(0));
    const signature = signatureDef.get('serving_default');
    t.is(signature?.methodName, 'tensorflow/serving/predict');
    t.deepEqual([...(signature?.inputs.keys() ?? [])], ['a', 'b']);
    t.like(signature?.inputs.get('a'), { encoding: { $case: 'name', name: 'a:0' }, dtype: 1 });
    t.deepEqual(
      signature?.inputs.get('a')?.tensorShape?.dim.map(({ size }) => size),
      [-1n, 2n],
    );
    for (const [field, text] of [
      [[], /at least one metadata_field/],
      [['other'], /Metadata field other is not supported/],
    ] as const) {
      const wrong = { ...asked, metadata_field: field };
      t.regex((await refusal(prediction.call('GetModelMetadata', wrong))).details, text);
    }

    const known = await models.call('GetModelStatus', { model_spec: { name: 'add' } });
    t.like(known, {
      model_version_status: [
        { version: '3', state: 'AVAILABLE', status: { error_code: 'OK', error_message: '' } },
      ],
    });
    for (const [spec, text] of [
      [{ name: 'add', version: { value: 9 } }, /Could not find version 9 of model add/],
      [{ name: 'none' }, /Could not find any versions of model none/],
    ] as const) {
      const error = await refusal(models.call('GetModelStatus', { model_spec: spec }));
      t.is(error.code, status.NOT_FOUND);
      t.regex(error.details, text);
    }

    const input = { example_list: { examples: [] } };
    for (const [method, request] of [
      ['Classify', { model_spec: { name: 'add' }, input }],
      ['Regress', { model_spec: { name: 'add' }, input }],
      ['MultiInference', { tasks: [{ model_spec: { name: 'add' } }], input }],
    ] as const) {
      const error = await refusal(prediction.call(method, request));
      t.is(error.code, status.UNIMPLEMENTED);
      t.regex(error.details, /use Predict/);
    }
    const reload = await refusal(models.call('HandleReloadConfigRequest', {}));
    t.is(reload.code, status.UNIMPLEMENTED);
    t.regex(reload.details, /torus model import/);
  });
}

test('a node by itself tells the status of what it has', async (t) => {
  const { nodes } = await serving(t, true);
  const [one] = nodes;
  if (one === undefined) return t.fail();
  const ask = async (modelSpec: { name: string }) => {
    const request = GetModelStatusRequest.encode(GetModelStatusRequest.fromPartial({ modelSpec }));
    const path = '/tensorflow.serving.ModelService/GetModelStatus';
    const { response } = await invokeUnary(one.node.backend, path, request.finish());
    return GetModelStatusResponse.decode(response).modelVersionStatus;
  };
  t.like(await ask({ name: 'add' }), [{ version: 3n, state: 30 }]);
  await t.throwsAsync(ask({ name: 'none' }), { message: /any versions of model none/ });
});

test('of several versions the router tells which, and other nodes are not asked', async (t) => {
  const one = { 'add/1/model.onnx': addModel(2) };
  const two = { 'add/2/model.onnx': addModel(2) };
  for (const isLocal of [false, true]) {
    const { prediction } = await serving(t, isLocal, { n1: one, n2: two } as never);
    const versions = new Set<string>();
    for (let round = 0; round < 30; round += 1) {
      const { model_spec } = (await prediction.call('Predict', ADD)) as unknown as Predicted;
      versions.add((model_spec as { version: { value: string } }).version.value);
    }
    t.deepEqual([...versions].sort(), ['1', '2'], 'both take their share');
    const first = { ...ADD, model_spec: { name: 'add', version: { value: 1 } } };
    const { model_spec } = (await prediction.call('Predict', first)) as unknown as Predicted;
    t.like(model_spec, { version: { value: '1' } });
  }
});

test('a large request passes through, its model named before its tensors or behind', async (t) => {
  const wide = 512 * 1024;
  const files = { 'same/1/model.onnx': identityModel('FP32', ['batch', wide]) };
  const { address } = await serving(t, false, { n1: files } as never);
  const client = connectGrpc({ address, methods: NODE_METHODS });
  t.teardown(() => client.close());
  const data = Buffer.alloc(4 * wide);
  data.writeFloatLE(7, data.length - 4);
  const part = (fields: Parameters<typeof PredictRequest.fromPartial>[0]): Uint8Array =>
    PredictRequest.encode(PredictRequest.fromPartial(fields)).finish();
  const spec = part({ modelSpec: { name: 'same' } });
  const x = TensorProto.fromPartial({
    dtype: 1,
    tensorShape: { dim: [{ size: 1n }, { size: BigInt(wide) }] },
    tensorContent: data,
  });
  const tensors = part({ inputs: new Map([['x', x]]) });
  for (const pieces of [
    [spec, tensors],
    [tensors, spec],
  ]) {
    const { response } = await invokeUnary(client, PREDICT, Buffer.concat(pieces));
    const { outputs } = PredictResponse.decode(response);
    t.is(outputs.get('y')?.floatVal.length, wide);
    t.is(outputs.get('y')?.floatVal.at(-1), 7);
  }
  const twice = invokeUnary(client, PREDICT, Buffer.concat([spec, tensors, spec]));
  await t.throwsAsync(twice, { message: /must come first/ });
});
