import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { column, tableOf } from '../test/support/training-data.ts';
import { planFeatures } from './columns/features.ts';
import { compareWithRuntime, MAX_ABS_DIFFERENCE } from './equivalence.ts';
import { exportOnnx, type Head } from './export.ts';

const columns = [column('x', 'FLOAT64'), column('y', 'FLOAT64')];
const table = tableOf({ columns, rows: Array.from({ length: 10 }, (_, row) => [row, row]) });
const rows = Int32Array.from({ length: 10 }, (_, row) => row);
const features = planFeatures(table, rows);
const head: Head = { task: 'regression', scale: { mean: 6, deviation: 4 } };

/** y = 4 (2 standardised x + 1) + 6. */
const onnx = exportOnnx({
  name: 'line',
  features,
  network: {
    inputs: 1,
    outputs: 1,
    layers: [{ kind: 'dense', inputs: 1, units: 1, activation: 'none' }],
  },
  weights: [{ kernel: Float32Array.of(2), bias: Float32Array.of(1) }],
  head,
  metadata: {},
});
const right = Float32Array.from(rows, (row) => 4 * (2 * ((row - 4.5) / Math.sqrt(8.25)) + 1) + 6);

test('a file that answers the same passes, with the difference told', async (t) => {
  const outputs = right;
  t.true((await compareWithRuntime(onnx, { table, features, head, rows, outputs })) < 1e-6);
});

test('one row that differs, or is no number, refuses the file', async (t) => {
  for (const wrong of [20 * MAX_ABS_DIFFERENCE, Number.NaN, Number.POSITIVE_INFINITY]) {
    const outputs = right.map((value, row) => (row === 3 ? value + wrong : value));
    const compared = compareWithRuntime(onnx, { table, features, head, rows, outputs });
    const error = await t.throwsAsync(compared, { instanceOf: StatusError, message: /differs/ });
    t.is(error?.code, Code.INTERNAL);
  }
});

test('a row far outside of the training data is compared by what FP32 can tell', async (t) => {
  const far = tableOf({ columns, rows: [...Array(10).keys(), 4.5e9].map((x) => [x, x]) });
  const farRows = Int32Array.of(10);
  const answer = 4 * (2 * ((4.5e9 - 4.5) / Math.sqrt(8.25)) + 1) + 6;
  const compare = (value: number) => {
    const outputs = Float32Array.of(value);
    return compareWithRuntime(onnx, { table: far, features, head, rows: farRows, outputs });
  };
  t.true((await compare(answer * (1 + 3e-7))) < 1e-5);
  await t.throwsAsync(compare(answer * 1.001), { message: /differs/ });
});

test('a prediction far outside of the target is compared relative to its own size', async (t) => {
  const large: Head = { task: 'regression', scale: { mean: 0, deviation: 1 } };
  const weights = [{ kernel: Float32Array.of(2e6), bias: Float32Array.of(0) }];
  const layers = [{ kind: 'dense', inputs: 1, units: 1, activation: 'none' } as const];
  const network = { inputs: 1, outputs: 1, layers };
  const steep = exportOnnx({ name: 's', features, network, weights, head: large, metadata: {} });
  const compare = (share: number) => {
    const of = (row: number) => ((2e6 * (row - 4.5)) / Math.sqrt(8.25)) * share;
    const outputs = Float32Array.from(rows, of);
    return compareWithRuntime(steep, { table, features, head: large, rows, outputs });
  };
  t.true((await compare(1)) < 1e-6);
  await t.throwsAsync(compare(1.001), { message: /differs/ });
});
