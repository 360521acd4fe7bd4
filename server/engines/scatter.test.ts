// Gathering and scattering belong together: what requests put in comes back to each as its own
// rows.
import test from 'ava';
import fc from 'fast-check';
import { type Datatype, elementSizeBytes, type Tensor } from '../../common/tensor.ts';
import type { Batch } from './engine.ts';
import { gather } from './gather.ts';
import { encodeStrings } from './onnx/string-tensors.ts';
import { Scatter, unsplittable } from './scatter.ts';
import { readTable, type Slab } from './slab.ts';

const DATATYPES: readonly Datatype[] = ['UINT8', 'FP16', 'FP32', 'INT64', 'BYTES'];

const NO_TIME = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

interface Case {
  readonly inputs: readonly { readonly datatype: Datatype; readonly width: number }[];
  readonly rows: readonly number[];
}

const cases: fc.Arbitrary<Case> = fc.record({
  inputs: fc.array(
    fc.record({ datatype: fc.constantFrom(...DATATYPES), width: fc.integer({ min: 0, max: 5 }) }),
    { minLength: 1, maxLength: 3 },
  ),
  rows: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 }),
});

/** Bytes that are no other request's. */
function tensorOf(datatype: Datatype, rows: number, width: number, seed: number): Tensor {
  const count = rows * width;
  const bytes =
    datatype === 'BYTES'
      ? encodeStrings(Array.from({ length: count }, (_, i) => 'x'.repeat((seed + i) % 7)))
      : Uint8Array.from({ length: count * elementSizeBytes(datatype) }, (_, i) => seed + i);
  return { name: `input${seed}`, datatype, shape: [rows, width], bytes };
}

test('each request gets back exactly the rows that it put in', (t) => {
  let slab: Slab | undefined;
  fc.assert(
    fc.property(cases, ({ inputs, rows }) => {
      const requests = rows.map((count, r) => ({
        inputs: inputs.map(({ datatype, width }, i) =>
          tensorOf(datatype, count, width, r * 31 + i),
        ),
      }));
      const total = rows.reduce((sum, count) => sum + count, 0);
      const batch: Batch = { requests, rows: total };
      const filled = gather(batch, slab);
      slab = filled;
      const merged = readTable(filled.words, inputs.length).map((place, i): Tensor => {
        const bytes = filled.bytes.subarray(place.offset, place.offset + place.lengthBytes);
        const datatype = inputs[i]?.datatype ?? 'UINT8';
        if (place.offset % 64 !== 0) throw new Error('not aligned');
        return { name: 'out', datatype, shape: place.shape, bytes };
      });
      if (unsplittable(merged, total) !== undefined) throw new Error('rows do not add up');
      const scatter = new Scatter(merged, { ...NO_TIME, batchRows: total }, 1_000);
      for (const [r, { inputs: put }] of requests.entries()) {
        scatter.take({ rows: rows[r] ?? 0, arrivedMs: 1_000 - r });
        if (scatter.queueNs !== r * 1e6) throw new Error('not its own time');
        const got = scatter.tensors();
        for (const [i, tensor] of put.entries()) {
          const range = merged[i]?.bytes.subarray(scatter.start(i), scatter.end(i));
          if (Buffer.compare(range ?? Buffer.of(1), tensor.bytes) !== 0) throw new Error('range');
          const same = Buffer.compare(got[i]?.bytes ?? Buffer.of(1), tensor.bytes) === 0;
          if (!same || got[i]?.shape.join() !== tensor.shape.join()) throw new Error('not its own');
        }
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('outputs without a row for each row of the batch can not be split, and say so', (t) => {
  const bytes = new Uint8Array(8);
  const good: Tensor = { name: 'y', datatype: 'UINT8', shape: [4, 2], bytes };
  t.is(unsplittable([good], 4), undefined);
  t.regex(
    unsplittable([good, { ...good, name: 'z', shape: [1, 8] }], 4)?.message ?? '',
    /output 'z' has shape \[1,8\] for a batch of 4 rows/,
  );
  t.truthy(unsplittable([{ ...good, shape: [] }], 4), 'a scalar');
});
