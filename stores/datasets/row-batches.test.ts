import test from 'ava';
import fc from 'fast-check';
import type { ColumnBatch } from './datasets.ts';
import { RowBatches } from './row-batches.ts';

/** Two columns of the numbers from 0, in blocks of those sizes. */
function batchesOf(sizes: readonly number[], batchRows: number, sizeBytes = 1): ColumnBatch[] {
  const batches = new RowBatches(2, batchRows);
  const found: ColumnBatch[] = [];
  let row = 0;
  for (const size of sizes) {
    const values = Array.from({ length: size }, () => row++);
    batches.push([values, values.map(String)], size, sizeBytes);
    for (let one = batches.take(); one !== undefined; one = batches.take()) found.push(one);
  }
  const rest = batches.rest();
  return rest === undefined ? found : [...found, rest];
}

test('blocks of any size become batches of the size asked for, in order', (t) => {
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 20 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 60 }), (blocks, batchRows) => {
      const found = batchesOf(blocks, batchRows);
      const total = blocks.reduce((sum, size) => sum + size, 0);
      const numbers = Array.from({ length: total }, (_, at) => at);
      const [first, second] = [0, 1].map((at) => found.flatMap(({ columns }) => columns[at] ?? []));
      t.deepEqual(first, numbers);
      t.deepEqual(second, numbers.map(String));
      t.true(found.slice(0, -1).every(({ rowCount }) => rowCount === batchRows));
      t.true(found.every(({ rowCount, columns }) => columns[1]?.length === rowCount));
    }),
  );
});

test('batches of wide rows are shorter than asked for', (t) => {
  const sizes = batchesOf([1, 1, 1, 1, 1], 100, 8 * 1024 ** 2).map(({ rowCount }) => rowCount);
  t.deepEqual(sizes, [2, 2, 1]);
  const wide = new RowBatches(500_000, 100);
  wide.push([], 2, 1);
  t.is(wide.take()?.rowCount, 1);
});
