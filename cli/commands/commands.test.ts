import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { torus } from '../../test/support/torus-process.ts';
import { figure, isFinal, progressText } from './context.ts';
import { ratioOf, rejectedLines } from './dataset.ts';
import { modelFiles } from './model.ts';
import { answerTable, inferBody } from './predict.ts';
import { statusLines } from './status.ts';
import { trainingSpec } from './train.ts';

const NOWHERE = 'http://127.0.0.1:1';

test('shares are percents or fractions, nothing else', (t) => {
  t.is(ratioOf('1%'), 0.01);
  t.is(ratioOf('0.25'), 0.25);
  for (const bad of ['', '101%', '-1', 'x', '1 %%', '2'])
    t.throws(() => ratioOf(bad), undefined, bad);
});

test('a training spec is the JSON of torus.v1.TrainingSpec; mistakes are told together', (t) => {
  const flags = { dataset: 'd', target: 'y', model: 'm', hidden: '64,32', epochs: '5', seed: '1' };
  t.deepEqual(trainingSpec(flags), {
    dataSet: 'datasets/d',
    targetColumn: 'y',
    featureColumns: [],
    algorithm: 'ALGORITHM_MLP',
    modelId: 'm',
    hyperparameters: { epochs: 5, hiddenUnits: [64, 32] },
    seed: '1',
    promote: true,
  });
  t.deepEqual(trainingSpec({ ...flags, features: 'a, b' }).featureColumns, ['a', 'b']);
  const wrong = { ...flags, batchSize: '0', heldOut: '2', hidden: 'x' };
  const { message } = t.throws(() => trainingSpec(wrong));
  t.is(message.split('\n').length, 3);
  t.regex(message, /^--batch-size "0": must be at least 1\n/);
  t.regex(message, /--held-out "2": must be a share,/);
  t.throws(() => trainingSpec({ ...flags, algorithm: 'cnn' }), { message: /needs --image-shape/ });
});

test('numbers that no job can have are told as that, not as another mistake', (t) => {
  const flags = { dataset: 'd', target: 'y', model: 'm' };
  const refused = (more: object) => t.throws(() => trainingSpec({ ...flags, ...more })).message;
  t.is(refused({ learningRate: '0' }), '--learning-rate "0": must be more than 0');
  t.is(refused({ learningRate: 'NaN' }), '--learning-rate "NaN": must be a number');
  t.is(refused({ epochs: '0' }), '--epochs "0": must be at least 1');
  const large = trainingSpec({ ...flags, epochs: '1000000000', hidden: '1000000000' });
  t.like(large, { hyperparameters: { epochs: 1e9, hiddenUnits: [1e9] } });
});

test('with --json wrong usage is one JSON object too', async (t) => {
  for (const args of [['train'], ['jobs', 'show', 'a', 'b'], ['nonsense'], ['model', '--what']]) {
    const { code, stdout, stderr } = await torus([...args, '--json']);
    t.is(code, 64);
    t.is(stdout, '');
    const told = JSON.parse(stderr) as { error: string; code: string };
    t.is(told.code, 'INVALID_ARGUMENT');
    t.regex(told.error, /^(required option|too many arguments|unknown (command|option))/);
  }
  const rows = await torus(['predict', 'm', '--server', NOWHERE, '--', '--json']);
  t.regex(rows.stderr, /^torus: the rows are not JSON/);
});

test('what the server would refuse after an upload is refused before it', async (t) => {
  const add = ['dataset', 'add', 'd', '/nowhere', '--server', NOWHERE];
  const format = await torus([...add, '--format', 'pdf']);
  t.is(format.code, 64);
  t.is(format.stderr, 'torus: --format "pdf" must be one of csv, json, jsonl, parquet\n');
  const promote = await torus(['model', 'promote', 'm', 'x', '--server', NOWHERE]);
  t.is(promote.stderr, 'torus: version "x" must be a whole number from 1\n');
});

test('a rejected row is told with its number, once', (t) => {
  const rows = [
    { rowNumber: 10n, reason: 'row 10, column "a": "x" found, expected is INT64' },
    { rowNumber: 11n, reason: 'too long' },
  ];
  t.deepEqual(rejectedLines(rows), [rows[0]?.reason ?? '', 'row 11: too long']);
  t.is(rejectedLines([]).length, 1);
});

test('rows become the tensors that the model wants', (t) => {
  const vector = [{ name: 'features', datatype: 'FP32', shape: [-1, 2] }];
  t.deepEqual(
    inferBody(
      [
        [1, 2],
        [3, 4],
      ],
      vector,
    ),
    {
      inputs: [{ name: 'features', datatype: 'FP32', shape: [2, 2], data: [1, 2, 3, 4] }],
    },
  );
  const columns = [
    { name: 'island', datatype: 'BYTES', shape: [-1, 1] },
    { name: 'mass', datatype: 'FP32', shape: [-1, 1] },
  ];
  t.deepEqual(inferBody({ island: null, mass: null }, columns), {
    inputs: [
      { name: 'island', datatype: 'BYTES', shape: [1, 1], data: [''] },
      { name: 'mass', datatype: 'FP32', shape: [1, 1], data: ['NaN'] },
    ],
  });
  t.deepEqual(inferBody([1, 2], vector), inferBody([[1, 2]], vector), 'one row, bare');
  t.like(inferBody({ island: true, mass: 3 }, columns), {
    inputs: [{ data: ['true'] }, { data: [3] }],
  });
  t.throws(() => inferBody({ island: 'x' }, columns), { message: /input 'mass' is missing/ });
  t.throws(() => inferBody([[1]], columns), { message: /has 2 inputs/ });
  t.throws(() => inferBody([], columns), { message: /no rows/ });
  t.throws(() => inferBody(3, columns), { message: /an object/ });
  const whole = { inputs: [{ name: 'x' }] };
  t.is(inferBody(whole, vector), whole);
});

test('answers are shown a row a line', (t) => {
  const lines = answerTable({
    model_name: 'm',
    outputs: [
      { name: 'label', datatype: 'BYTES', shape: [2, 1], data: ['a', 'b'] },
      { name: 'p', datatype: 'FP32', shape: [2, 2], data: [0.123456, 0.9, 0.5, 0.5] },
    ],
  });
  t.deepEqual(lines, ['label  p', 'a      0.1235 0.9', 'b      0.5 0.5']);
});

test('progress says the step and its figures', (t) => {
  const job = Job.fromPartial({
    state: JobState.RUNNING,
    progress: {
      fraction: 0.5,
      step: 'epoch 3 of 6',
      metrics: { epoch: 3, loss: 0.123456, rows: 1797 },
    },
  });
  t.is(progressText(job), 'epoch 3 of 6, loss 0.1235, rows 1,797');
  const done = Job.fromPartial({ ...job, state: JobState.SUCCEEDED });
  t.regex(progressText(done), /^done, /);
  t.false(isFinal(job));
  t.is(figure(0.93217), '0.9322');
});

test('the files of a version: one file, or a folder without links', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-model-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'v', 'data'), { recursive: true });
  writeFileSync(join(folder, 'v', 'model.onnx'), 'x');
  writeFileSync(join(folder, 'v', 'data', 'w.bin'), 'x');
  t.deepEqual((await modelFiles(join(folder, 'v'))).map((file) => file.name).sort(), [
    'data/w.bin',
    'model.onnx',
  ]);
  t.is((await modelFiles(join(folder, 'v', 'model.onnx')))[0]?.name, 'model.onnx');
  symlinkSync('/etc', join(folder, 'v', 'link'));
  await t.throwsAsync(modelFiles(join(folder, 'v')), { message: /link is a link/ });
  await t.throwsAsync(modelFiles(join(folder, 'none')), { message: /is not there/ });
});

test('status shows where each model runs', (t) => {
  const status = ClusterStatus.fromPartial({
    leaderId: 'up',
    leaderEpoch: 3n,
    nodes: [
      {
        id: 'node-1',
        state: 'NODE_STATE_SERVING',
        address: '127.0.0.1:8011',
        copies: [{ modelId: 'digits', version: 1n, state: 'COPY_STATE_READY' }],
      },
    ],
    models: [{ modelId: 'digits', version: 1n, wantedCopies: 1, readyCopies: 1, weight: 1 }],
  });
  const text = statusLines(status).join('\n');
  t.regex(text, /leader up, epoch 3/);
  t.regex(text, /node-1 {2}SERVING {2}127\.0\.0\.1:8011 +1 +1/);
  t.regex(text, /digits +1 +100% +1\/1 +node-1/);
});

test('wrong usage ends with 64, an absent server with 69 and what to do', async (t) => {
  const usage = await torus(['train', '--dataset', 'x']);
  t.is(usage.code, 64);
  t.regex(usage.stderr, /--target/);
  t.is((await torus(['nonsense'])).code, 64);
  const absent = await torus(['status', '--server', NOWHERE]);
  t.is(absent.code, 69);
  t.regex(absent.stderr, /torus up/);
  const programs = await torus(['status', '--json', '--server', NOWHERE]);
  t.is((JSON.parse(programs.stderr) as { code: string }).code, 'UNAVAILABLE');
  const help = await torus(['predict', '--help']);
  t.is(help.code, 0);
  t.regex(help.stdout, /Examples:/);
  const version = await torus(['predict', 'm', '--version', '2', '[[1]]', '--server', NOWHERE]);
  t.is(version.code, 69, 'the version of the model, not of torus');
  const flags = await torus(['up', '--nodes', '0', '--grpc-port', 'x']);
  t.is(flags.code, 64);
  t.regex(flags.stderr, /--grpc-port "x".*\n.*--nodes "0"/);
});
