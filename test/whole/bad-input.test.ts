// Bad input against a running server, over gRPC, REST and the command line: a clear error, nothing
// lost, and the process stays up.
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { TINY_MLP, tinyMlpOnnx } from '../../loadtest/tiny-mlp.ts';
import { externalDataModel } from '../support/foreign-onnx.ts';
import { type OutsideClient, outsideClient } from '../support/outside-client.ts';
import { unknownOperatorModel } from '../support/tiny-onnx.ts';
import { dataFolder, startTorus, type TorusProcess, torus } from '../support/torus-process.ts';

interface Context {
  server: TorusProcess;
  client: OutsideClient;
  folder: string;
}
const test = anyTest as TestFn<Context>;

const x = (over: Record<string, unknown> = {}) => ({
  name: 'x',
  datatype: 'FP32',
  shape: [1, 16],
  contents: { fp32_contents: Array(16).fill(0.5) },
  ...over,
});

async function cli(context: Context, ...args: string[]) {
  return await torus([...args, '--server', `http://${context.server.http}`]);
}

async function write(context: Context, name: string, content: string | Uint8Array) {
  const path = join(context.folder, name);
  await writeFile(path, content);
  return path;
}

async function rest(context: Context, method: string, path: string, body: unknown) {
  const init = { method, body: JSON.stringify(body) };
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`http://${context.server.http}${path}`, { ...init, headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

/** Why a job failed, once it has ended; '' when it did not fail. */
async function endOf(context: Context, job: Record<string, unknown>): Promise<string> {
  const url = `http://${context.server.http}/api/v1/${job.name}`;
  await (await fetch(`${url}/watch`)).text();
  const ended = (await (await fetch(url)).json()) as { error?: { message: string } };
  return ended.error?.message ?? '';
}

async function importModel(context: Context, path: string, content: Uint8Array): Promise<string> {
  const url = `http://${context.server.http}/api/v1/blobs`;
  const headers = { 'content-type': 'application/octet-stream' };
  const body = Buffer.from(content);
  const uploaded = await fetch(url, { method: 'POST', headers, body });
  const { sha256 } = (await uploaded.json()) as { sha256: string };
  const files = [{ path, sha256 }];
  const target = `/api/v1/models/${TINY_MLP}/versions`;
  return await endOf(context, (await rest(context, 'POST', target, { files })).body);
}

let data = '';
test.before(async (t) => {
  data = await dataFolder({ teardown: () => undefined });
  const server = await startTorus({ data });
  const folder = dirname(data);
  t.context = { server, folder, client: outsideClient(server.grpc) };
  const added = await cli(
    t.context,
    'model',
    'add',
    TINY_MLP,
    await write(t.context, 'tiny.onnx', tinyMlpOnnx()),
  );
  t.is(added.code, 0, added.stderr);
  const good = await t.context.client.call('ModelInfer', { model_name: TINY_MLP, inputs: [x()] });
  t.is(good.model_name, TINY_MLP);
});

test.after.always(async (t) => {
  t.context.client?.close();
  await t.context.server?.end('SIGKILL');
});

const refused: readonly (readonly [what: string, request: object, code: number, text: RegExp])[] = [
  [
    'unknown model',
    { model_name: 'x', inputs: [x()] },
    5,
    /Request for unknown model: 'x' is not found/,
  ],
  [
    'unknown version',
    { model_name: TINY_MLP, model_version: '7', inputs: [x()] },
    5,
    /Request for unknown model: 'tiny-mlp' version 7 is not found/,
  ],
  ['version that is no number', { model_name: TINY_MLP, model_version: 'v1' }, 3, /integral value/],
  ['a path as the name', { model_name: '../../etc/passwd' }, 5, /unknown model/],
  ['no input', { model_name: TINY_MLP }, 3, /missing required input\(s\) \['x'\]/],
  ['wrong name', { model_name: TINY_MLP, inputs: [x({ name: 'z' })] }, 3, /'z'/],
  [
    'wrong datatype',
    { model_name: TINY_MLP, inputs: [x({ datatype: 'INT32' })] },
    3,
    /input 'x' data-type is 'INT32', but model 'tiny-mlp' expects 'FP32'/,
  ],
  ['no datatype', { model_name: TINY_MLP, inputs: [x({ datatype: 'float' })] }, 3, /'x'/],
  [
    'wrong rank',
    { model_name: TINY_MLP, inputs: [x({ shape: [16] })] },
    3,
    /unexpected shape for input 'x' for model 'tiny-mlp'. Expected \[-1,16\], got \[16\]/,
  ],
  ['wrong shape', { model_name: TINY_MLP, inputs: [x({ shape: [1, 8] })] }, 3, /got \[1,8\]/],
  ['negative shape', { model_name: TINY_MLP, inputs: [x({ shape: [-1, 16] })] }, 3, /'x'/],
  [
    'a shape that no memory holds',
    { model_name: TINY_MLP, inputs: [x({ shape: ['4611686018427387904', 16] })] },
    3,
    /batch-size must be <= \d+|'x'/,
  ],
  [
    'wrong byte count',
    {
      model_name: TINY_MLP,
      inputs: [x({ contents: null })],
      raw_input_contents: [Buffer.alloc(60)],
    },
    3,
    /byte size mismatch for input 'x' for model 'tiny-mlp'. Expected 64, got 60/,
  ],
  [
    'typed and raw mixed',
    { model_name: TINY_MLP, inputs: [x()], raw_input_contents: [Buffer.alloc(64)] },
    3,
    /contents field must not be specified when using raw_input_contents for 'x'/,
  ],
];

test('inference requests that are wrong are told what came and what was expected', async (t) => {
  for (const [what, request, code, text] of refused) {
    const error = await t.throwsAsync(
      t.context.client.call('ModelInfer', request),
      undefined,
      what,
    );
    t.is((error as unknown as { code: number }).code, code, what);
    t.regex(error?.message ?? '', text, what);
  }
});

test('REST says the same with its own statuses', async (t) => {
  const base = `http://${t.context.server.http}/v2/models`;
  const infer = (model: string, body: string) =>
    fetch(`${base}/${model}/infer`, { method: 'POST', body });
  const missing = await infer('x', JSON.stringify({ inputs: [] }));
  t.is(missing.status, 404);
  t.regex(((await missing.json()) as { error: string }).error, /'x' is not found/);
  const { contents: _contents, ...tensor } = x();
  const short = { inputs: [{ ...tensor, data: [1, 2] }] };
  const wrong = await infer(TINY_MLP, JSON.stringify(short));
  t.is(wrong.status, 400, await wrong.text());
  t.is((await infer(TINY_MLP, '{"inputs":')).status, 400);
  t.is((await fetch(`${base}/..%2f..%2fetc%2fpasswd`)).status, 404);
});

test('a message above the limit is refused with the limit', async (t) => {
  const inputs = [x({ contents: null })];
  const raw_input_contents = [Buffer.alloc(65 * 1024 * 1024)];
  const error = await t.throwsAsync(
    t.context.client.call('ModelInfer', { model_name: TINY_MLP, inputs, raw_input_contents }),
  );
  t.is((error as unknown as { code: number }).code, 8);
  t.regex(error?.message ?? '', /67108864|64 MiB/);
  const body = Buffer.alloc(65 * 1024 * 1024, 0x20);
  const url = `http://${t.context.server.http}/v2/models/${TINY_MLP}/infer`;
  const status = await fetch(url, { method: 'POST', body }).then(
    async (response) => [response.status, await response.text()],
    // The server may close the connection before all was sent.
    (error: Error) => [413, `67108864 ${String(error.cause)}`],
  );
  t.is(status[0], 413);
  t.regex(String(status[1]), /67108864|64 MiB/);
});

test('models that cannot be served are refused with the reason; what serves goes on', async (t) => {
  const bytes = tinyMlpOnnx();
  const broken = bytes.map((byte, at) => (at > 200 && at % 7 === 0 ? byte ^ 0xff : byte));
  const cases: readonly (readonly [file: string, content: Uint8Array, text: RegExp])[] = [
    ['m.onnx', bytes.subarray(0, bytes.length - 100), /not a valid ONNX file: .* cut off/],
    ['m.onnx', Buffer.from('no model'), /not a valid ONNX file: illegal tag: field no 13/],
    ['m.onnx', new Uint8Array(), /not a valid ONNX file: it has no graph/],
    ['m.onnx', broken, /not a valid ONNX file: .*in graph/],
    ['m.onnx', unknownOperatorModel(), /ONNX Runtime can't load the model: .*NoSuchOperator/],
    ['m.onnx', externalDataModel('../../../etc/passwd'), /etc\/passwd/],
    ['m.onnx', externalDataModel('w.bin'), /tensors in 'w.bin', which is not beside it/],
    ['m.pkl', Buffer.from([0x80, 4, 0x95, 0]), /a Python pickle.* Only ONNX models are served/],
    ['m.h5', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /a Keras model .*model\.export/],
  ];
  for (const [path, content, text] of cases) {
    t.regex(await importModel(t.context, path, content), text);
  }
  const text = await write(t.context, 'text.onnx', 'this is no model');
  const added = await cli(t.context, 'model', 'add', TINY_MLP, text);
  t.is(added.code, 1);
  t.regex(added.stderr, /not a valid ONNX file: field 14 has wire type 4 where a message belongs/);
  const bad = await cli(t.context, 'model', 'add', '../evil', join(t.context.folder, 'tiny.onnx'));
  t.is(bad.code, 64);
  t.regex(bad.stderr, /model name "..\/evil" is not allowed: it must start with a letter/);
  const answer = await t.context.client.call('ModelInfer', { model_name: TINY_MLP, inputs: [x()] });
  t.is(answer.model_version, '1');
});

test('bad rows are counted and kept with reasons; too many fail the import', async (t) => {
  const head = 'a,b,y\n';
  const good = Array.from({ length: 300 }, (_, i) => `${i},${i / 2},${i % 2}\n`).join('');
  const few = await write(t.context, 'few.csv', `${head}${good}1,2\nx,1,0\n`);
  const accepted = await cli(t.context, 'dataset', 'add', 'few', few, '--json');
  t.is(accepted.code, 0, accepted.stderr);
  const shown = await cli(t.context, 'dataset', 'show', 'few', '--rejected');
  t.regex(shown.stdout, /1 +SEALED +302 +300 +2/);
  t.regex(shown.stdout, /^row 301 has 2 fields.*\nrow 302, column "a"/m);
  const clean = await write(t.context, 'clean.csv', head + good);
  t.is((await cli(t.context, 'dataset', 'add', 'few', clean)).code, 0);
  const newest = await cli(t.context, 'dataset', 'show', 'few', '--rejected');
  t.regex(newest.stdout, /2 +SEALED +300 +300 +0/);
  t.notRegex(newest.stdout, /row 301/);
  const many = await write(t.context, 'many.csv', `${head}${good}${'1,2\n'.repeat(30)}`);
  const failed = await cli(t.context, 'dataset', 'add', 'many', many);
  t.is(failed.code, 1);
  t.regex(failed.stderr, /30/);
  const wider = await cli(t.context, 'dataset', 'add', 'many2', many, '--max-bad-rows', '10%');
  t.is(wider.code, 0, wider.stderr);
  for (const [name, content] of [
    ['empty.csv', ''],
    ['header.csv', head],
    ['bad.json', '[{"a":1}, {"a":'],
  ]) {
    const path = await write(t.context, name ?? '', content ?? '');
    const added = await cli(t.context, 'dataset', 'add', 'nothing', path);
    t.is(added.code, 1, name);
  }
});

test('training that cannot work fails as a job with its reason', async (t) => {
  const rows = (n: number, y: (i: number) => string): string =>
    `a,b,y\n${Array.from({ length: n }, (_, i) => `${i},${i % 7},${y(i)}\n`).join('')}`;
  const sets: readonly (readonly [name: string, csv: string, text: RegExp])[] = [
    ['two-rows', rows(2, (i) => `c${i}`), /rows/],
    ['one-class', rows(50, () => 'same'), /class/],
  ];
  for (const [name, csv, text] of sets) {
    const path = await write(t.context, `${name}.csv`, csv);
    t.is((await cli(t.context, 'dataset', 'add', name, path)).code, 0);
    const args = ['--dataset', name, '--target', 'y', '--model', name, '--epochs', '1'];
    const trained = await cli(t.context, 'train', ...args);
    t.is(trained.code, 1, name);
    t.regex(trained.stderr, text, name);
  }
  const listed = await cli(t.context, 'jobs', 'list');
  t.regex(listed.stdout, /failed/);
  const line = await write(
    t.context,
    'line.csv',
    rows(50, (i) => `${i * 1.5}`),
  );
  t.is((await cli(t.context, 'dataset', 'add', 'line', line)).code, 0);
  const steep = '--dataset line --target y --model m --learning-rate 1e30'.split(' ');
  const diverged = await cli(t.context, 'train', ...steep, '--json');
  t.is(diverged.code, 1);
  const { error, code } = JSON.parse(diverged.stderr);
  t.is(code, 'FAILED_PRECONDITION');
  t.regex(error, /the loss became (NaN|Infinity) in epoch 1: lower the learning rate, which is 1e/);
});

test('settings that no training can have are refused with those that it can', async (t) => {
  const content = `a,b,y\n${'1,2,3\n4,5,6\n'.repeat(10)}`;
  const set = await write(t.context, 'plane.csv', content);
  t.is((await cli(t.context, 'dataset', 'add', 'plane', set)).code, 0);
  const spec = { dataSet: 'datasets/plane', targetColumn: 'y', modelId: 'm' };
  const hyper = (hyperparameters: object, algorithm = 'ALGORITHM_MLP') => ({
    ...{ algorithm, hyperparameters },
  });
  const cases: readonly (readonly [more: object, text: RegExp])[] = [
    [{ dataSet: 'plane' }, /data_set "plane" is not of the form datasets\/DATASET/],
    [{ targetColumn: 'z' }, /'z' is no column of data set 'plane', which has: a, b, y/],
    [{ featureColumns: ['a', 'y'] }, /target_column 'y' can't be one of feature_columns too/],
    [{ heldOutRatio: 1.5 }, /held_out_ratio 1.5 must be 0.01 to 0.9/],
    [{ seed: -1 }, /seed -1 must be 0 to/],
    [{ algorithm: 'TREE' }, /it is one of ALGORITHM_UNSPECIFIED, ALGORITHM_LINEAR, /],
    [hyper({ epochs: 1e9 }), /epochs 1000000000 must be a whole number from 1 to 100000/],
    [hyper({ epochs: 'NaN' }), /epochs .* expected number \(int32\), got "NaN"/],
    [hyper({ batchSize: 2 ** 31 }), /batch_size .*2147483648 out of range/],
    [hyper({ learningRate: 'NaN' }), /learning_rate NaN must be a positive number/],
    [hyper({ learningRate: 1e39 }), /learning_rate 1e\+39 must be .* within FP32/],
    [hyper({ hiddenUnits: [1e9] }), /hidden_units 1000000000 must be .* to 65536/],
    [hyper({ hiddenUnits: Array(10_000).fill(1) }), /has 10000 layers, the most are 16/],
    [hyper({ hiddenUnits: [4] }, 'ALGORITHM_LINEAR'), /linear has no hidden layers/],
    [hyper({ imageShape: [3, 3, 1] }, 'ALGORITHM_CNN'), /image_shape 3 x 3 x 1 is too small/],
    [hyper({ momentum: 1 }), /"momentum" is unknown; known are epochs, batchSize, learningRate/],
  ];
  for (const [more, text] of cases) {
    const refused = await rest(t.context, 'POST', '/api/v1/jobs', { ...spec, ...more });
    t.true(refused.status === 400, String(text));
    t.regex(String(refused.body.error), text);
  }
  const large = hyper({ hiddenUnits: [65_536, 65_536] });
  const queued = await rest(t.context, 'POST', '/api/v1/jobs', { ...spec, ...large });
  const why = await endOf(t.context, queued.body);
  t.regex(why, /would have \d+ weights, more than 20000000: use fewer hidden units/);
});

test('a port or folder in use and a listener off loopback are refused at start', async (t) => {
  const inUse = await torus(['up', '--data', data, '--grpc-port', '0']);
  t.is(inUse.code, 1);
  t.regex(inUse.stderr, /in use by process \d+/);
  const free = ['http', 'metrics', 'admin', 'blob', 'node'].flatMap((name) => [
    `--${name}-port`,
    '0',
  ]);
  const other = join(t.context.folder, 'other');
  const port = t.context.server.grpc.split(':')[1] ?? '';
  const taken = await torus(['up', '--data', other, '--grpc-port', port, ...free]);
  t.is(taken.code, 1);
  t.regex(taken.stderr, new RegExp(`port ${port}.*--grpc-port`));
  const open = await torus([
    'up',
    '--data',
    other,
    '--host',
    '0.0.0.0',
    '--grpc-port',
    '0',
    ...free,
  ]);
  t.is(open.code, 1);
  t.regex(open.stderr, /--insecure/);
});
