import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock } from '../../../common/clock.ts';
import { Code, StatusError } from '../../../common/status.ts';
import { DATATYPES, type Datatype, elementSizeBytes, type Tensor } from '../../../common/tensor.ts';
import {
  addModel,
  gatherModel,
  identityModel,
  unknownOperatorModel,
} from '../../../test/support/tiny-onnx.ts';
import type { Batch, EngineInstance, RunOutcome } from '../engine.ts';
import { ortOfThread, triedOrt } from './binding.ts';
import { type InlineOptions, startInlineInstance } from './inline.ts';
import { encodeStrings } from './string-tensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'torus-inline-'));
test.after.always(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function start(
  model: Uint8Array,
  specs: Pick<InlineOptions, 'inputs' | 'outputs' | 'maxBatchSize'>,
  way: 'binding' | 'public',
): Promise<EngineInstance> {
  const modelPath = join(folder, `model-${files++}.onnx`);
  writeFileSync(modelPath, model);
  return startInlineInstance({ modelPath, intraOpThreads: 1, clock: systemClock, ...specs }, way);
}

type Run = RunOutcome & { readonly copies: readonly Uint8Array[] };

function run(instance: EngineInstance, batch: Batch): Promise<Run> {
  return new Promise((resolve) => {
    instance.run(batch, (outcome) => {
      const copies = outcome.ok ? outcome.outputs.map(({ bytes }) => Uint8Array.from(bytes)) : [];
      resolve({ ...outcome, copies });
    });
  });
}

function sample(datatype: Datatype, count: number): Uint8Array {
  if (datatype === 'BYTES') {
    return encodeStrings(Array.from({ length: count }, (_, i) => (i === 1 ? '' : `é${i}😀`)));
  }
  return Uint8Array.from({ length: count * elementSizeBytes(datatype) }, (_, i) =>
    datatype === 'BOOL' ? i % 2 : (i * 37 + 1) % 120,
  );
}

test('the binding of the installed package passes its trial', async (t) => {
  const ort = await ortOfThread();
  t.is(ort.problem, '');
  t.is(ort.path, 'binding');
});

test('a package that is other inside is used by its public API, and says why', async (t) => {
  const shapeless = await triedOrt(() => ({ binding: {}, initOrt: () => {} }));
  t.is(shapeless.path, 'public');
  t.regex(shapeless.problem, /no InferenceSession or initOrt/);
  class Lacking {
    loadModel(): void {}
  }
  const lacking = await triedOrt(() => ({
    binding: { InferenceSession: Lacking },
    initOrt: () => {},
  }));
  t.regex(lacking.problem, /lacks run, dispose/);
  class Wrong extends Lacking {
    run(): object {
      return { y_FP32: { type: 'float32', dims: [2, 1], data: [9, 9] } };
    }
    dispose(): void {}
  }
  const wrong = await triedOrt(() => ({
    binding: { InferenceSession: Wrong },
    initOrt: () => {},
  }));
  t.regex(wrong.problem, /gives float32 \[2,1\] 9 9 where its own API gives .* 1.5 -2/);
  const gone = await triedOrt(() => {
    throw new Error("Cannot find module 'onnxruntime-node/dist/binding.js'");
  });
  t.regex(gone.problem, /Cannot find module/);
});

for (const way of ['binding', 'public'] as const) {
  for (const datatype of DATATYPES.filter((name) => name !== 'BF16')) {
    for (const width of [3, -1]) {
      test(`${way}: ${datatype} [-1,${width}] goes through, alone and merged`, async (t) => {
        const model = identityModel(datatype, ['batch', width < 0 ? 'width' : width]);
        const shape = [-1, width];
        const instance = await start(
          model,
          {
            inputs: [{ name: 'x', datatype, shape }],
            outputs: [{ name: 'y', datatype, shape }],
            maxBatchSize: 8,
          },
          way,
        );
        t.is(instance.way, way === 'binding' ? 'inline' : 'inline_public');
        const tensor = (rows: number, bytes: Uint8Array): Tensor => {
          return { name: 'x', datatype, shape: [rows, 3], bytes };
        };
        const [one, two] = [sample(datatype, 3), sample(datatype, 6)];
        for (const [requests, rows] of [
          [[tensor(1, one), tensor(2, two)], 3],
          [[tensor(2, two)], 2],
          [[tensor(2, two), tensor(1, one)], 3],
        ] as const) {
          const batch = { requests: requests.map((input) => ({ inputs: [input] })), rows };
          const outcome = await run(instance, batch);
          t.deepEqual(outcome.ok && outcome.outputs[0]?.shape, [rows, 3]);
          t.deepEqual(outcome.copies, [
            Uint8Array.from(requests.flatMap(({ bytes }) => [...bytes])),
          ]);
        }
        await instance.stop();
        t.is(await instance.ended, undefined);
      });
    }
  }

  test(`${way}: a run that throws fails its batch, and the instance goes on`, async (t) => {
    const specs = {
      inputs: [{ name: 'index', datatype: 'INT64', shape: [-1, 1] }],
      outputs: [{ name: 'value', datatype: 'FP32', shape: [-1, 1] }],
      maxBatchSize: 1,
    } as const;
    const instance = await start(gatherModel(3), specs, way);
    const index = (value: bigint): Batch => {
      const bytes = new Uint8Array(BigInt64Array.of(value).buffer);
      const input: Tensor = { name: 'index', datatype: 'INT64', shape: [1, 1], bytes };
      return { requests: [{ inputs: [input] }], rows: 1 };
    };
    const bad = await run(instance, index(7n));
    t.is(bad.ok ? 0 : bad.error.code, Code.INTERNAL);
    t.regex(bad.ok ? '' : bad.error.message, /^model-\d+\.onnx failed to run: .*idx=7/);
    const good = await run(instance, index(2n));
    t.is(new Float32Array(good.copies[0]?.buffer as ArrayBuffer)[0], 20);
    await instance.stop();
    await instance.stop();
  });

  test(`${way}: a file that can't be loaded is told of as elsewhere`, async (t) => {
    const specs = { inputs: [], outputs: [], maxBatchSize: 0 };
    const error = await t.throwsAsync(start(unknownOperatorModel(), specs, way), {
      instanceOf: StatusError,
    });
    t.is(error.code, Code.INVALID_ARGUMENT);
    t.regex(error.message, /^model-\d+\.onnx can not be loaded: .*NoSuchOperator/);
    t.false(error.message.includes(folder));
  });
}

test('a run is over before the call returns', async (t) => {
  const shape = [-1, 1];
  const spec = (name: string) => ({ name, datatype: 'FP32', shape }) as const;
  const specs = { inputs: [spec('a'), spec('b')], outputs: [spec('sum')], maxBatchSize: 4 };
  const instance = await start(addModel(1), specs, 'binding');
  const bytes = new Uint8Array(Float32Array.of(1.5).buffer);
  const input = (name: string): Tensor => ({ name, datatype: 'FP32', shape: [1, 1], bytes });
  let outcome: RunOutcome | undefined;
  instance.run({ requests: [{ inputs: [input('a'), input('b')] }], rows: 1 }, (known) => {
    outcome = known;
  });
  t.true(outcome?.ok);
  await instance.stop();
});
