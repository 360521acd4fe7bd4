import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { parseConfig } from '../../model/config/pbtxt.ts';
import { floats, GraphBuilder, int64s } from '../../model/onnx/graph.ts';
import { externalDataModel, undeclaredShapeModel } from '../../test/support/foreign-onnx.ts';
import { skip } from '../../test/support/skip.ts';
import { addModel, slowModel, unknownOperatorModel } from '../../test/support/tiny-onnx.ts';
import { type Inspection, inspectModel } from './inspect.ts';
import { type VerifyOptions, verifyModel } from './verify.ts';

const test = anyTest as TestFn<string>;

test.beforeEach(async (t) => {
  t.context = await mkdtemp(join(tmpdir(), 'torus-verify-'));
});
test.afterEach.always((t) => rm(t.context, { recursive: true, force: true }));

async function inspect(dir: string, model: Uint8Array, configPbtxt = ''): Promise<Inspection> {
  const modelPath = join(dir, 'model.onnx');
  await writeFile(modelPath, model);
  return await inspectModel({ model: 'm', modelPath, configPbtxt });
}

async function verify(
  dir: string,
  model: Uint8Array,
  more: Partial<VerifyOptions> = {},
): Promise<Inspection> {
  const modelPath = join(dir, 'model.onnx');
  await writeFile(modelPath, model);
  const { signal } = new AbortController();
  const sizeBytes = model.length;
  return await verifyModel({ model: 'm', modelPath, configPbtxt: '', sizeBytes, signal, ...more });
}

test('a good model is loaded and run in a child, and its signature told', async (t) => {
  const found = await verify(t.context, addModel(4));
  t.like(found, { configPbtxt: '', maxBatchSize: 64, note: '' });
  t.deepEqual(found.signature.inputs, [
    { name: 'a', datatype: 'FP32', shape: [-1, 4] },
    { name: 'b', datatype: 'FP32', shape: [-1, 4] },
  ]);
  t.deepEqual(found.signature.outputs, [{ name: 'sum', datatype: 'FP32', shape: [-1, 4] }]);
  t.true((found.trialRunMs ?? -1) >= 0);
});

test('the shape of an output that declares none is found by a run', async (t) => {
  const { signature, maxBatchSize } = await verify(t.context, undeclaredShapeModel());
  t.deepEqual(signature.outputs, [{ name: 'y', datatype: 'FP32', shape: [-1, -1] }]);
  t.is(maxBatchSize, 64);
});

test('a child that crashes, hangs, or takes too much memory is only a reason', async (t) => {
  const slow = slowModel(3_000);
  await t.throwsAsync(verify(t.context, slow, { timeoutMs: 300 }), {
    instanceOf: StatusError,
    message: 'the model was not loaded and run within 300 ms',
  });
  const error = await t.throwsAsync(verify(t.context, slow, { maxMemoryBytes: 1024 ** 2 }), {
    instanceOf: StatusError,
    message: 'loading and running the model takes more than 1048576 bytes',
  });
  t.is(error?.code, Code.INVALID_ARGUMENT);
});

/** The processes that this one has started. */
async function children(): Promise<number[]> {
  const tasks = await readdir('/proc/self/task');
  const lists = tasks.map((task) => readFile(`/proc/self/task/${task}/children`, 'utf8'));
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

test.serial('a crash of native code is told by its signal', async (t) => {
  const before = await children().catch(() => undefined);
  if (before === undefined) return skip(t, 'no list of child processes here');
  const verified = verify(t.context, slowModel(3_000));
  for (;;) {
    const started = (await children()).filter((pid) => !before.includes(pid));
    if (started[0] !== undefined) {
      process.kill(started[0], 'SIGSEGV');
      break;
    }
  }
  await t.throwsAsync(verified, { message: /that loaded and ran the model was ended by SIGSEGV/ });
});

test('an abort ends the child and is passed on', async (t) => {
  const modelPath = join(t.context, 'model.onnx');
  await writeFile(modelPath, slowModel(3_000));
  const abort = new AbortController();
  const { signal } = abort;
  const request = { model: 'm', modelPath, configPbtxt: '', sizeBytes: 0, signal };
  const verified = verifyModel(request);
  const reason = new StatusError(Code.CANCELLED, 'enough');
  abort.abort(reason);
  t.is(await t.throwsAsync(verified), reason);
  t.is(await t.throwsAsync(verifyModel(request)), reason, 'aborted before it starts');
});

test('what can not be loaded is refused with the reason, without our folder in it', async (t) => {
  const whole = addModel(4);
  const cases: [Uint8Array, RegExp][] = [
    [whole.subarray(0, whole.length - 10), /not a valid ONNX file/],
    [new TextEncoder().encode('hello'), /not a valid ONNX file/],
    [unknownOperatorModel(), /ONNX Runtime can't load the model.*NoSuchOperator/s],
    [externalDataModel('w.bin'), /keeps tensors in 'w.bin', which is not beside it/],
  ];
  for (const [bytes, message] of cases) {
    const error = await t.throwsAsync(inspect(t.context, bytes), {
      instanceOf: StatusError,
      message,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
    t.false(error?.message.includes(t.context));
  }
  const crossed = inspect(t.context, whole, 'max_batch_size: 4 input { name: "z" }');
  await t.throwsAsync(crossed, { message: /the model's inputs are 'a', 'b'/ });
});

test('data files lie beside the model, whole', async (t) => {
  await writeFile(join(t.context, 'w.bin'), new Uint8Array(7));
  await t.throwsAsync(inspect(t.context, externalDataModel('w.bin')), {
    message: /has 7 bytes, but/,
  });
  await writeFile(join(t.context, 'w.bin'), new Uint8Array(8));
  t.is((await inspect(t.context, externalDataModel('w.bin'))).note, '');
});

/** y = x summed over its first dimension, declared open: one row whatever came. */
function summing(): Uint8Array {
  const graph = new GraphBuilder('summing');
  graph.input('x', 'FP32', ['n', 2]);
  graph.node('ReduceSum', ['x', graph.constant(int64s([0]))], { output: 'y"\u00e9' });
  graph.output('y"\u00e9', 'FP32', ['m', 2]);
  return graph.write();
}

test('a model that turns out not to batch is served whole, and its config says so', async (t) => {
  const found = await inspect(t.context, summing(), 'instance_group { count: 2 }');
  t.is(found.maxBatchSize, 0);
  t.regex(
    found.note,
    /without batching: of 1 and 2 rows, output 'y"é' has shape \[1,2\] and \[1,2\]/,
  );
  const config = parseConfig(found.configPbtxt);
  t.deepEqual(config.input[0]?.dims, [-1n, 2n]);
  t.is(config.output[0]?.name, 'y"é');
  t.is(config.instanceGroup[0]?.count, 2);
  await t.throwsAsync(inspect(t.context, summing(), 'max_batch_size: 8'), {
    message: /config.pbtxt says max_batch_size 8, but the model can't batch: of 1 and 2 rows/,
  });
});

test('a declared shape that runs do not keep is refused', async (t) => {
  const graph = new GraphBuilder('liar');
  graph.input('x', 'FP32', ['n', 'm']);
  graph.node('Transpose', ['x'], { output: 'y' });
  graph.output('y', 'FP32', ['n', 3]);
  await t.throwsAsync(inspect(t.context, graph.write()), {
    message: /output 'y' is declared as \[-1,3\], but a run gave \[1,1\]/,
  });
});

test('open dimensions are guessed; where no guess fits, that is a note', async (t) => {
  const reshaping = (columns: number) => {
    const graph = new GraphBuilder('reshaping');
    graph.input('x', 'FP32', ['batch', 'width']);
    graph.node('Reshape', ['x', graph.constant(int64s([-1, columns]))], { output: 'y' });
    graph.output('y', 'FP32', ['batch', 'columns']);
    return graph.write();
  };
  // A guess of 8 fits: rows of 8, two each.
  t.regex((await inspect(t.context, reshaping(4))).note, /^served without batching/);
  const odd = await inspect(t.context, reshaping(5));
  t.regex(odd.note, /^not tried: no input is known that it takes/);
  t.is(odd.trialRunMs, undefined);
  t.is(odd.maxBatchSize, 64);
});

test('with every dimension fixed, a run that fails refuses the model', async (t) => {
  const graph = new GraphBuilder('failing');
  graph.input('i', 'INT64', [1]);
  const index = graph.node('Add', ['i', graph.constant(int64s([7]))]);
  graph.node('Gather', [graph.constant(floats([1, 2])), index], { output: 'y' });
  graph.output('y', 'FP32', [1]);
  await t.throwsAsync(inspect(t.context, graph.write()), {
    message: /fails when it is run on zeros/,
  });
});
