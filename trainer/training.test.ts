import test from 'ava';
import fc from 'fast-check';
import type { TrainSpec } from '../catalog/documents.ts';
import { Code, StatusError } from '../common/status.ts';
import { readOnnx } from '../model/onnx/reader.ts';
import type { Column, Value } from '../stores/datasets/datasets.ts';
import {
  column,
  digits,
  penguins,
  type Sample,
  tableOf,
  trainSpecOf,
} from '../test/support/training-data.ts';
import { startBackend } from './tfjs/backend.ts';
import { MAX_FINAL_LOSS } from './tfjs/fit.ts';
import { type TrainedModel, trainModel } from './training.ts';

test.before(async () => {
  await startBackend({ only: 'wasm' });
});

const quiet = { onEpoch: () => {}, onExport: () => {}, pause: async () => {} };

function train(sample: Sample, spec: Partial<TrainSpec>): Promise<TrainedModel> {
  return trainModel(trainSpecOf(sample, spec), tableOf(sample), quiet);
}

/** The last 400 digits: enough to learn from, quick to go through. */
const someDigits: Sample = { ...digits(), rows: digits().rows.slice(0, 400) };

test.serial('linear, classification: penguins', async (t) => {
  const { metrics, outputs } = await train(penguins(), { algorithm: 'linear', epochs: 15 });
  t.true((metrics.val_accuracy ?? 0) >= 0.95, `${metrics.val_accuracy}`);
  t.like(outputs[0], { name: 'label', datatype: 'BYTES', shape: [-1, 1] });
  t.like(outputs[1], { name: 'probabilities', shape: [-1, 3] });
});

test.serial('mlp, regression: the mass of a penguin, in grams', async (t) => {
  const { columns, rows } = penguins();
  const mass = columns.findIndex(({ name }) => name === 'body_mass_g');
  const move = <T>(items: readonly T[]): T[] => [
    ...items.filter((_, index) => index !== mass),
    ...items.slice(mass, mass + 1),
  ];
  const known = rows.filter((row) => row[mass] !== null);
  const sample = { columns: move(columns), rows: known.map((row) => move(row)) };
  const { metrics, outputs, task } = await train(sample, { algorithm: 'mlp', epochs: 25 });
  t.is(task, 'regression');
  t.deepEqual(outputs, [{ name: 'prediction', datatype: 'FP32', shape: [-1, 1] }]);
  // Its standard deviation is 800 g.
  t.true((metrics.val_mae ?? 1e9) < 320, `${metrics.val_mae}`);
});

test.serial('cnn: digits, and the weights moved to the order of ONNX', async (t) => {
  const spec = { algorithm: 'cnn', epochs: 8, learningRate: 0.005, imageShape: [8, 8, 1] } as const;
  const { metrics, inputs, onnx } = await train(someDigits, { ...spec, imageShape: [8, 8, 1] });
  t.true((metrics.val_accuracy ?? 0) >= 0.85, `${metrics.val_accuracy}`);
  t.deepEqual(inputs, [{ name: 'features', datatype: 'FP32', shape: [-1, 64] }]);
  const operators = readOnnx(onnx).operators.map(({ type }) => type);
  t.true(operators.includes('Conv') && operators.includes('MaxPool'));
});

test.serial('cnn: images of several channels and odd sides, hidden layers', async (t) => {
  const columns = Array.from({ length: 5 * 7 * 3 }, (_, index) => column(`p${index}`, 'FLOAT64'));
  const rows = Array.from({ length: 30 }, (_, row) => [
    ...columns.map((_, index) => Math.sin(row * 31 + index * 7)),
    row % 2 === 0,
  ]);
  const sample = { columns: [...columns, column('y', 'BOOL')], rows };
  const given = { algorithm: 'cnn', imageShape: [5, 7, 3], hiddenUnits: [6] } as const;
  const spec = { ...given, imageShape: [5, 7, 3], hiddenUnits: [6] };
  const { metrics } = await train(sample, { ...spec, epochs: 1 });
  t.true((metrics.max_abs_difference ?? 1) < 1e-5);
});

test.serial('the same seed gives the same file, another one another', async (t) => {
  const run = async (seed: number) => (await train(penguins(), { epochs: 2, seed })).onnx;
  const [first, again, other] = [await run(5), await run(5), await run(6)];
  t.deepEqual(first, again);
  t.notDeepEqual(first, other);
});

test.serial('wasm and plain JavaScript learn the same, and print nothing', async (t) => {
  const { warn } = console;
  t.teardown(() => {
    console.warn = warn;
  });
  console.warn = (text) => t.fail(text);
  const run = async (only: 'wasm' | 'cpu') => {
    await startBackend({ only });
    return (await train(penguins(), { algorithm: 'mlp', epochs: 2 })).metrics;
  };
  const [cpu, wasm] = [await run('cpu'), await run('wasm')];
  t.true(Math.abs((cpu.loss ?? 0) - (wasm.loss ?? 1)) < 1e-4);
});

test.serial('settings that can not work are refused with what would', async (t) => {
  const cases: [Sample, Partial<TrainSpec>, RegExp][] = [
    [someDigits, { algorithm: 'cnn' }, /cnn needs an image shape/],
    [
      someDigits,
      { algorithm: 'cnn', imageShape: [8, 8, 3] },
      /shape 8 x 8 x 3 takes 192.*there are 64/,
    ],
    [someDigits, { algorithm: 'cnn', imageShape: [2, 32, 1] }, /too small for cnn/],
    [penguins(), { algorithm: 'cnn', imageShape: [2, 3, 1] }, /features that are all numbers/],
    [someDigits, { algorithm: 'mlp', hiddenUnits: [65_536, 65_536] }, /fewer hidden units/],
    [
      someDigits,
      { algorithm: 'mlp', hiddenUnits: [60_000], batchSize: 65_536 },
      /batch size of at most/,
    ],
  ];
  for (const [sample, spec, message] of cases) {
    await t.throwsAsync(train(sample, spec), { instanceOf: StatusError, message });
  }
});

/** y = 3 x, learned by one descent of all rows at once. */
const line: Sample = {
  columns: [column('x', 'FLOAT64'), column('y', 'FLOAT64')],
  rows: Array.from({ length: 40 }, (_, row) => [row, 3 * row]),
};

test.serial(
  'a loss that grows beyond all bounds fails the job, saying what to lower',
  async (t) => {
    const cases: [Sample, Partial<TrainSpec>, RegExp][] = [
      [
        penguins(),
        { algorithm: 'mlp', learningRate: 1e30 },
        /became NaN in epoch 1: lower the learning rate, which is 1e\+30/,
      ],
      // Finite, and only seen after the last step.
      [
        line,
        { learningRate: 1e5, epochs: 1, batchSize: 64 },
        /the loss is \S+ after the last epoch/,
      ],
      [
        line,
        { learningRate: 1e30, epochs: 1, batchSize: 64 },
        /loss (is|became) .* after the last/,
      ],
    ];
    for (const [sample, spec, message] of cases) {
      await t.throwsAsync(train(sample, spec), {
        code: Code.FAILED_PRECONDITION,
        message,
      } as never);
    }
  },
);

test.serial('a held-out row far outside of the others is no divergence', async (t) => {
  const heldOut = (await train(line, { epochs: 1 })).heldOutRows[0] ?? 0;
  const rows = line.rows.map((row, index) => (index === heldOut ? [1e12, 3e12] : row));
  const { metrics } = await train({ ...line, rows }, { epochs: 1 });
  t.true((metrics.val_loss ?? 0) > MAX_FINAL_LOSS);
  // So far that FP32 can't hold its distance in deviations.
  const beyond = line.rows.map(([x, y], row) =>
    row === heldOut ? [1e38, 9] : [Number(x) * 1e-9, y],
  );
  await t.throwsAsync(train({ ...line, rows: beyond as Value[][] }, { epochs: 1 }), {
    message: /the loss on the held-out rows is (Infinity|NaN)/,
  });
});

test.serial('a feature may not be called as an output is', async (t) => {
  const rows = Array.from({ length: 12 }, (_, row) => [row === 5 ? null : row, row % 2]);
  const columns = [column('label', 'INT64', true), column('y', 'INT64')];
  await t.throwsAsync(train({ columns, rows }, {}), { message: /'label' has the name of an out/ });
});

/** Columns of any kinds with any values, a few of them only in the held-out rows. */
const mixes = fc
  .record({
    types: fc.array(fc.constantFrom('FLOAT64', 'INT64', 'STRING', 'BOOL'), {
      minLength: 1,
      maxLength: 5,
    }),
    target: fc.constantFrom('FLOAT64', 'INT64', 'STRING', 'BOOL'),
    rowCount: fc.integer({ min: 12, max: 40 }),
    seed: fc.integer(),
    algorithm: fc.constantFrom('linear', 'mlp'),
  })
  .chain(({ types, ...rest }) =>
    fc.record({
      rest: fc.constant(rest),
      columns: fc.constant(types.map((type, index) => column(`c${index}`, type, true))),
      rows: fc.array(fc.tuple(...types.map(valueArbitrary)), {
        minLength: rest.rowCount,
        maxLength: rest.rowCount,
      }),
    }),
  );

function valueArbitrary(type: Column['type']): fc.Arbitrary<Value> {
  const present: Record<Column['type'], fc.Arbitrary<Value>> = {
    FLOAT64: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    INT64: fc.integer(),
    STRING: fc.oneof(fc.constantFrom('red', 'blå', ' ', '"'), fc.string({ maxLength: 3 })),
    BOOL: fc.boolean(),
  };
  return fc.oneof(
    { weight: 5, arbitrary: present[type] },
    { weight: 1, arbitrary: fc.constant(null) },
  );
}

function targetValue(type: Column['type'], row: number): Value {
  switch (type) {
    case 'FLOAT64':
      return 1e5 + row * 0.37;
    case 'INT64':
      return (row % 3) - 1;
    case 'STRING':
      return `class ${row % 4}`;
    case 'BOOL':
      return row % 2 === 0;
  }
}

test.serial('any mix of columns: ONNX Runtime answers as the trained network does', async (t) => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(mixes, async ({ rest, columns, rows }) => {
      const sample = {
        columns: [...columns, column('y', rest.target)],
        rows: rows.map((row, index) => [...row, targetValue(rest.target, index)]),
      };
      const { algorithm, seed } = rest;
      const spec = { algorithm, seed, epochs: 1, hiddenUnits: [5], heldOutRatio: 0.4 };
      try {
        const { metrics } = await train(sample, spec);
        compared += 1;
        return (metrics.max_abs_difference ?? 1) <= 1e-5;
      } catch (error) {
        // Columns may be empty or constant in the training rows.
        return error instanceof StatusError && /has no value|none of the f/.test(error.message);
      }
    }),
    { numRuns: 60 },
  );
  t.true(compared > 40, `${compared} of 60`);
});
