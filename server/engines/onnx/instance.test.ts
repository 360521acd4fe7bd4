import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock } from '../../../common/clock.ts';
import { Code, StatusError } from '../../../common/status.ts';
import { DATATYPES, type Datatype, elementSizeBytes, type Tensor } from '../../../common/tensor.ts';
import {
  addModel,
  externalDataModel,
  gatherModel,
  identityModel,
  repeatModel,
  unknownOperatorModel,
} from '../../../test/support/tiny-onnx.ts';
import type { Batch, EngineInstance, RunOutcome } from '../engine.ts';
import { KEPT_IDLE_SLAB_BYTES } from '../slab.ts';
import { startOnnxInstance } from './instance.ts';
import { COMMAND } from './protocol.ts';
import { encodeStrings } from './string-tensors.ts';
import { SpareThreads } from './thread.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-instance-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
const spare = new SpareThreads();
function start(model: Uint8Array, threads = spare): Promise<EngineInstance> {
  const modelPath = join(folder, `model-${files++}.onnx`);
  writeFileSync(modelPath, model);
  return startOnnxInstance({ modelPath, intraOpThreads: 1, clock: systemClock }, threads);
}

type Run = RunOutcome & { readonly copies: readonly Uint8Array[] };

/** Outputs are good inside `done` only, so they are copied there. */
function run(instance: EngineInstance, batch: Batch): Promise<Run> {
  return new Promise((resolve) => {
    instance.run(batch, (outcome) => {
      const copies = outcome.ok ? outcome.outputs.map(({ bytes }) => Uint8Array.from(bytes)) : [];
      resolve({ ...outcome, copies });
    });
  });
}

function single(...inputs: readonly Tensor[]): Batch {
  return { requests: [{ inputs }], rows: 0 };
}

function fp32(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name, datatype: 'FP32', shape, bytes };
}

/** Bytes that differ from each other and are valid for the datatype. */
function sample(datatype: Datatype, count: number): Uint8Array {
  if (datatype === 'BYTES') {
    return encodeStrings(Array.from({ length: count }, (_, i) => (i === 1 ? '' : `é${i}😀`)));
  }
  return Uint8Array.from({ length: count * elementSizeBytes(datatype) }, (_, i) =>
    datatype === 'BOOL' ? i % 2 : (i * 37 + 1) % 120,
  );
}

for (const datatype of DATATYPES.filter((name) => name !== 'BF16')) {
  test(`${datatype} goes through unchanged, in a batch of two, and empty`, async (t) => {
    const instance = await start(identityModel(datatype, ['batch', 'width']));
    t.deepEqual(instance.inputs, [{ name: 'x', datatype, shape: [-1, -1] }]);
    const tensor = (shape: number[], bytes: Uint8Array) => ({ name: 'x', datatype, shape, bytes });
    const [one, two] = [sample(datatype, 3), sample(datatype, 6)];
    const batch = {
      requests: [{ inputs: [tensor([1, 3], one)] }, { inputs: [tensor([2, 3], two)] }],
      rows: 3,
    };
    const both = await run(instance, batch);
    t.true(both.ok);
    t.deepEqual(both.ok && both.outputs[0]?.shape, [3, 3]);
    t.deepEqual(both.copies, [Uint8Array.from([...one, ...two])]);
    const none = await run(instance, single(tensor([1, 0], new Uint8Array(0))));
    t.deepEqual(none.ok && none.outputs[0]?.shape, [1, 0]);
    t.is(none.copies[0]?.length, 0);
    await instance.stop();
    t.is(await instance.ended, undefined);
  });
}

test('BF16 at the rim is refused at load, with what to do instead', async (t) => {
  const error = await t.throwsAsync(start(identityModel('BF16', ['batch', 2])), {
    instanceOf: StatusError,
  });
  t.is(error.code, Code.INVALID_ARGUMENT);
  t.regex(error.message, /BF16.*cast them to FP32/);
});

test('any byte but 0 is true', async (t) => {
  const instance = await start(identityModel('BOOL', [3]));
  const x = { name: 'x', datatype: 'BOOL', shape: [3], bytes: Uint8Array.of(0, 2, 255) } as const;
  t.deepEqual((await run(instance, single(x))).copies, [Uint8Array.of(0, 1, 1)]);
  await instance.stop();
});

test('slabs grow for inputs and outputs, and shrink after big ones', async (t) => {
  const instance = await start(repeatModel(3));
  for (const size of [10, 1_000_000, 20, 6_000_000, 30]) {
    const bytes = new Uint8Array(size).fill(size % 251);
    const x: Tensor = { name: 'x', datatype: 'UINT8', shape: [1, size], bytes };
    const outcome = await run(instance, single(x));
    t.is(outcome.copies[0]?.length, 3 * size);
    t.true(outcome.copies[0]?.every((value) => value === size % 251));
  }
  await instance.stop();
});

test('the next run may start before the outputs of the last are read', async (t) => {
  const instance = await start(addModel(1));
  const add = (a: number): Batch => single(fp32('a', [1, 1], [a]), fp32('b', [1, 1], [1]));
  const seen: number[] = [];
  await new Promise<void>((resolve) => {
    const next = (a: number) =>
      instance.run(add(a), (outcome) => {
        if (a < 20) next(a + 1);
        else resolve();
        const until = performance.now() + 2;
        while (performance.now() < until);
        const bytes = Uint8Array.from((outcome.ok && outcome.outputs[0]?.bytes) || []);
        seen.push(new Float32Array(bytes.buffer)[0] ?? Number.NaN);
      });
    next(0);
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(
    seen,
    Array.from({ length: 21 }, (_, i) => i + 1),
  );
  await instance.stop();
});

test('a run that throws fails its batch with the reason, and the instance goes on', async (t) => {
  const instance = await start(gatherModel(3));
  const index = (value: bigint): Batch => {
    const bytes = new Uint8Array(BigInt64Array.of(value).buffer);
    return single({ name: 'index', datatype: 'INT64', shape: [1, 1], bytes });
  };
  const bad = await run(instance, index(7n));
  t.false(bad.ok);
  if (!bad.ok) {
    t.is(bad.error.code, Code.INTERNAL);
    t.regex(bad.error.message, /failed to run: .*idx=7/);
  }
  const good = await run(instance, index(2n));
  t.is(new Float32Array(good.copies[0]?.buffer as ArrayBuffer)[0], 20);
  await instance.stop();
});

const UNLOADABLE: readonly [what: string, model: () => Uint8Array, reason: RegExp][] = [
  ['truncated', () => addModel(4).subarray(0, 60), /can not be loaded: .*(parsing failed|graph)/i],
  ['no ONNX', () => Buffer.from('PK\x03\x04 nonsense'), /can not be loaded: /],
  ['empty', () => new Uint8Array(0), /can not be loaded: /],
  ['of an unknown operator', unknownOperatorModel, /NoSuchOperator/],
  ['without its external data', () => externalDataModel('w.bin'), /w\.bin/],
  ['with data outside its folder', () => externalDataModel('../w.bin'), /escapes model directory/],
];

for (const [what, model, reason] of UNLOADABLE) {
  test(`a file that is ${what} fails to load with the reason, and nothing stays`, async (t) => {
    const error = await t.throwsAsync(start(model()), { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, reason);
    t.false(error.message.includes(folder), 'the folder is nobody’s business');
  });
}

test('a thread that ends by itself fails its run, or its load, with UNAVAILABLE', async (t) => {
  const threads = new SpareThreads(
    new URL('../../../test/support/dying-worker.ts', import.meta.url),
  );
  const instance = await start(identityModel('INT32', [1]), threads);
  const x = (value: number): Batch =>
    single({ name: 'x', datatype: 'INT32', shape: [1], bytes: Uint8Array.of(value, 0, 0, 0) });
  t.true((await run(instance, x(1))).ok);
  const dead = await run(instance, x(66));
  t.is(dead.ok ? 0 : dead.error.code, Code.UNAVAILABLE);
  t.is((await instance.ended)?.code, Code.UNAVAILABLE);

  const error = await t.throwsAsync(start(identityModel('INT32', [66]), threads), {
    instanceOf: StatusError,
  });
  t.is(error.code, Code.UNAVAILABLE);
  t.regex(error.message, /exit code 3/);
});

test("a thread's shared memory serves the next model, unless it is large", async (t) => {
  const threads = new SpareThreads();
  const slabsAfter = async (count: number): Promise<readonly unknown[]> => {
    const instance = await start(identityModel('UINT8', ['batch', 'width']), threads);
    for (const value of [1, 2]) {
      const bytes = new Uint8Array(count).fill(value);
      const ran = await run(
        instance,
        single({ name: 'x', datatype: 'UINT8', shape: [1, count], bytes }),
      );
      t.deepEqual(ran.copies, [bytes]);
    }
    await instance.stop();
    const thread = threads.take();
    threads.give(thread);
    return [thread.inputSlab, ...thread.outputSlabs];
  };
  const first = await slabsAfter(100);
  t.true(first.every((slab) => slab !== undefined));
  t.deepEqual(
    (await slabsAfter(200)).map((slab, index) => slab === first[index]),
    [true, true, true],
  );
  t.deepEqual(await slabsAfter(2 * KEPT_IDLE_SLAB_BYTES), [undefined, undefined, undefined]);
  await slabsAfter(100);
  const thread = threads.take();
  thread.command(COMMAND.END);
});
