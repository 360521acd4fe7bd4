// What every data set store promises, run over each implementation by its own test file.
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import {
  type Column,
  type DatasetStore,
  MAX_RAW_CHARACTERS,
  type Row,
  type RowBatch,
  type ScanOptions,
  type Value,
} from './datasets.ts';
import {
  MAX_APPEND_ROWS,
  MAX_COLUMN_NAME_CHARACTERS,
  MAX_COLUMNS,
  MAX_LIST_REJECTED,
  MAX_SCAN_ROWS,
} from './limits.ts';

export interface DatasetsUnderTest {
  readonly store: DatasetStore;
  end(): Promise<void>;
}

type Body = (t: ExecutionContext, store: DatasetStore) => Promise<void>;

const COLUMNS: readonly Column[] = [
  { name: 'mass; DROP TABLE', type: 'FLOAT64', isNullable: true },
  { name: 'count', type: 'INT64', isNullable: false },
  { name: '"species"', type: 'STRING', isNullable: true },
  { name: 'is wild', type: 'BOOL', isNullable: true },
];

const ROWS: readonly Row[] = [
  [1.5, 1, 'Adélie', true],
  [null, 2, null, null],
  [-1e300, 3, '', false],
];

const expecting = (code: Code) => ({ instanceOf: StatusError, code });
const invalid = expecting(Code.INVALID_ARGUMENT);

function batchOf(rows: readonly Row[], from: number, changes: Partial<RowBatch> = {}): RowBatch {
  const offset = String(from + rows.length);
  const expectedOffset = from === 0 ? '' : String(from);
  return { rows, rejected: [], source: 'job', offset, expectedOffset, ...changes };
}

async function rowsOf(store: DatasetStore, options?: ScanOptions, version = 1): Promise<Value[][]> {
  const rows: Value[][] = [];
  for await (const batch of store.scan('d', version, options)) {
    for (let index = 0; index < batch.rowCount; index += 1) {
      rows.push(batch.columns.map((values) => values[index] ?? null));
    }
  }
  return rows;
}

const numbered = (from: number, count: number): Row[] =>
  Array.from({ length: count }, (_, index) => [null, from + index, null, null]);

const writing: Record<string, Body> = {
  'rows come back in their order, whatever their columns are called': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    t.deepEqual(await rowsOf(store), []);
    t.deepEqual(await store.append('d', 1, batchOf(ROWS, 0)), { accepted: 3, rejected: 0 });
    t.deepEqual(await rowsOf(store), ROWS as Value[][]);
  },
  'any value of each type comes back equal': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const row = fc.tuple(
      fc.option(fc.double({ noNaN: true, noDefaultInfinity: true })),
      fc.oneof(fc.maxSafeInteger(), fc.constant(Number.MAX_SAFE_INTEGER)),
      fc.option(fc.string({ unit: 'binary' })),
      fc.option(fc.boolean()),
    );
    let all: Row[] = [];
    const property = fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (rows) => {
      await store.append('d', 1, batchOf(rows, all.length, { expectedOffset: offset }));
      offset = String(all.length + rows.length);
      all = [...all, ...rows];
    });
    let offset = '';
    await fc.assert(property, { numRuns: 20, endOnFailure: true });
    t.deepEqual(await rowsOf(store, { batchRows: 7 }), all as Value[][]);
  },
  'INT64 keeps its whole range': async (t, store) => {
    await store.create('d', 1, [{ name: 'n', type: 'INT64', isNullable: false }]);
    const values = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, 5n, Number.MIN_SAFE_INTEGER, 0];
    await store.append(
      'd',
      1,
      batchOf(
        values.map((value) => [value]),
        0,
      ),
    );
    const found = (await rowsOf(store)).flat();
    t.deepEqual(found, [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, 5, Number.MIN_SAFE_INTEGER, 0]);
  },
  'text of any characters comes back, wherever it stands': async (t, store) => {
    const text = 'a\0b \\u0000 \'"{},$1 \u{1f600}\n';
    await store.create('d', 1, [{ name: text, type: 'STRING', isNullable: true }]);
    const rejected = [{ rowNumber: 1, reason: text, raw: text }];
    await store.append('d', 1, batchOf([[text]], 0, { rejected, source: text, offset: text }));
    t.is(await store.offset('d', 1, text), text);
    t.deepEqual(await store.rejected('d', 1, 0, 1), rejected);
    t.deepEqual(await rowsOf(store, { columns: [text] }), [[text]]);
    await t.throwsAsync(store.counts(text, 1), expecting(Code.NOT_FOUND));
  },
  'the widest rows come back, all columns and some': async (t, store) => {
    const types = ['FLOAT64', 'INT64', 'STRING', 'BOOL'] as const;
    const columns = Array.from({ length: MAX_COLUMNS }, (_, at): Column => {
      return { name: `c${at}`, type: types[at % 4] ?? 'BOOL', isNullable: true };
    });
    const values = (at: number): Value[] => [at / 8, -at, `text ${at}`, at % 3 === 0];
    const row = columns.map((_, at) => (at % 5 === 0 ? null : (values(at)[at % 4] ?? null)));
    await store.create('d', 1, columns);
    await store.append('d', 1, batchOf([row, row], 0));
    t.deepEqual(await rowsOf(store), [row, row]);
    const asked = [MAX_COLUMNS - 1, 0, 2_001, 512, 3_999];
    const some = asked.map((at) => row[at] ?? null);
    t.deepEqual(await rowsOf(store, { columns: asked.map((at) => `c${at}`) }), [some, some]);
  },
  'rows, rejected rows and offset go together': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    t.is(await store.offset('d', 1, 'job'), '');
    const rejected = [{ rowNumber: 2, reason: 'bad', raw: 'x,y' }];
    await store.append('d', 1, batchOf(ROWS, 0, { rejected, offset: '4' }));
    t.is(await store.offset('d', 1, 'job'), '4');
    t.is(await store.offset('d', 1, 'other'), '');
    t.deepEqual(await store.counts('d', 1), { accepted: 3, rejected: 1 });
    t.deepEqual(await store.rejected('d', 1, 0, 10), rejected);
    await store.append('d', 1, batchOf([], 0, { offset: '9', expectedOffset: '4' }));
    t.is(await store.offset('d', 1, 'job'), '9');
    t.deepEqual(await store.counts('d', 1), { accepted: 3, rejected: 1 });
  },
  'a batch that another worker overtook is ABORTED and writes nothing': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.append('d', 1, batchOf(ROWS, 0));
    const rejected = [{ rowNumber: 1, reason: 'bad', raw: '' }];
    const again = store.append('d', 1, batchOf(ROWS, 0, { rejected }));
    await t.throwsAsync(again, expecting(Code.ABORTED));
    await t.throwsAsync(store.append('d', 1, batchOf(ROWS, 2)), expecting(Code.ABORTED));
    t.deepEqual(await store.counts('d', 1), { accepted: 3, rejected: 0 });
    t.is((await rowsOf(store)).length, 3);
    // Another source starts at its own beginning.
    await store.append('d', 1, batchOf(ROWS, 0, { source: 'partition-2' }));
    t.deepEqual(await store.counts('d', 1), { accepted: 6, rejected: 0 });
  },
  'of many batches at once that expect the same offset one is written': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const appends = Array.from({ length: 8 }, () => store.append('d', 1, batchOf(ROWS, 0)));
    const results = await Promise.allSettled(appends);
    t.is(results.filter((result) => result.status === 'fulfilled').length, 1);
    t.is((await rowsOf(store)).length, 3);
  },
};

const refusing: Record<string, Body> = {
  'a value that does not fit its column refuses the whole batch': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const bad: Row[] = [
      ['1.5', 1, 'a', true],
      [Number.NaN, 1, 'a', true],
      [Number.POSITIVE_INFINITY, 1, 'a', true],
      [1.5, 1.5, 'a', true],
      [1.5, 2 ** 53, 'a', true],
      [1.5, 2n ** 63n, 'a', true],
      [1.5, null, 'a', true],
      [1.5, 1, 5, true],
      [1.5, 1, 'a', 1],
      [1.5, 1, 'a'],
      [1.5, 1, 'a', true, null],
    ];
    for (const row of bad) {
      await t.throwsAsync(store.append('d', 1, batchOf([...ROWS, row], 0)), invalid);
    }
    const error = await t.throwsAsync(store.append('d', 1, batchOf([[1, null, '', true]], 0)));
    t.regex(error?.message ?? '', /row 0.*null in column count, which holds INT64/);
    t.deepEqual(await store.counts('d', 1), { accepted: 0, rejected: 0 });
    t.is(await store.offset('d', 1, 'job'), '');
    t.deepEqual(await rowsOf(store), []);
  },
  'a batch above the limit is refused': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const many = batchOf(numbered(0, MAX_APPEND_ROWS + 1), 0);
    await t.throwsAsync(store.append('d', 1, many), invalid);
    await t.throwsAsync(store.append('d', 1, batchOf(ROWS, 0, { source: '' })), invalid);
  },
  'schemas that can not be are refused': async (t, store) => {
    const column = (name: string): Column => ({ name, type: 'BOOL', isNullable: true });
    const wide = Array.from({ length: MAX_COLUMNS + 1 }, (_, index) => column(`c${index}`));
    const long = [column('n'.repeat(MAX_COLUMN_NAME_CHARACTERS + 1))];
    for (const columns of [[], [column('')], [column('a'), column('a')], wide, long]) {
      await t.throwsAsync(store.create('d', 1, columns), invalid);
    }
    await t.throwsAsync(store.create('../d', 1, COLUMNS), invalid);
    for (const version of [0, -1, 1.5]) {
      await t.throwsAsync(store.create('d', version, COLUMNS), invalid);
    }
  },
  'making a version again is fine with its own schema only': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.append('d', 1, batchOf(ROWS, 0));
    await store.create('d', 1, COLUMNS);
    t.is((await store.counts('d', 1)).accepted, 3);
    const other = store.create('d', 1, COLUMNS.slice(1));
    await t.throwsAsync(other, expecting(Code.ALREADY_EXISTS));
    await store.create('d', 2, COLUMNS.slice(1));
  },
  'a version that is not there is NOT_FOUND': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const absent = expecting(Code.NOT_FOUND);
    await t.throwsAsync(store.append('d', 2, batchOf(ROWS, 0)), absent);
    await t.throwsAsync(store.counts('e', 1), absent);
    await t.throwsAsync(store.offset('d', 2, 'job'), absent);
    await t.throwsAsync(store.seal('d', 2), absent);
    await t.throwsAsync(store.rejected('d', 2, 0, 10), absent);
    await t.throwsAsync(rowsOf(store, undefined, 2), absent);
    await t.notThrowsAsync(store.remove('d', 2));
  },
  'a sealed version takes no rows': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.append('d', 1, batchOf(ROWS, 0));
    t.deepEqual(await store.seal('d', 1), { accepted: 3, rejected: 0 });
    const late = store.append('d', 1, batchOf(ROWS, 3));
    await t.throwsAsync(late, expecting(Code.FAILED_PRECONDITION));
    t.deepEqual(await store.seal('d', 1), { accepted: 3, rejected: 0 });
    t.is((await rowsOf(store)).length, 3);
  },
  'a closed store answers UNAVAILABLE': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.close();
    await store.close();
    await t.throwsAsync(store.counts('d', 1), expecting(Code.UNAVAILABLE));
    await t.throwsAsync(store.append('d', 1, batchOf(ROWS, 0)), expecting(Code.UNAVAILABLE));
    await t.throwsAsync(rowsOf(store), expecting(Code.UNAVAILABLE));
  },
};

const reading: Record<string, Body> = {
  'a scan gives the columns asked for, in batches of the size asked for': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.append('d', 1, batchOf(numbered(0, 10), 0));
    await store.append('d', 1, batchOf(numbered(10, 13), 10));
    const sizes: number[] = [];
    const found: Value[] = [];
    const asked = { columns: ['count', 'is wild', 'count'], batchRows: 7 };
    for await (const batch of store.scan('d', 1, asked)) {
      sizes.push(batch.rowCount);
      t.is(batch.columns.length, 3);
      for (const values of batch.columns) t.is(values.length, batch.rowCount);
      t.deepEqual(batch.columns[0], batch.columns[2]);
      found.push(...(batch.columns[0] ?? []));
    }
    t.deepEqual(sizes, [7, 7, 7, 2]);
    t.deepEqual(
      found,
      Array.from({ length: 23 }, (_, index) => index),
    );
    const unknown = rowsOf(store, { columns: ['nope'] });
    const error = await t.throwsAsync(unknown, invalid);
    t.regex(error?.message ?? '', /no column nope.*count/);
    for (const batchRows of [0, 1.5, MAX_SCAN_ROWS + 1]) {
      await t.throwsAsync(rowsOf(store, { batchRows }), invalid);
    }
  },
  'a scan sees the rows that were there when it began': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.append('d', 1, batchOf(numbered(0, 10), 0));
    let count = 0;
    for await (const batch of store.scan('d', 1, { batchRows: 4 })) {
      if (count === 0) await store.append('d', 1, batchOf(numbered(10, 5), 10));
      count += batch.rowCount;
    }
    t.is(count, 10);
    t.is((await rowsOf(store)).length, 15);
  },
  'rejected rows come by row number, page by page, their raw text cut': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    const long = `${'x'.repeat(MAX_RAW_CHARACTERS - 1)}\u{1f600} and more`;
    const rejected = Array.from({ length: 25 }, (_, index) => {
      const raw = index === 3 ? long : `raw "${index}"`;
      return { rowNumber: index * 2 + 1, reason: `reason ${index}`, raw };
    });
    await store.append('d', 1, batchOf([], 0, { rejected }));
    const found = [];
    for (;;) {
      const page = await store.rejected('d', 1, found.at(-1)?.rowNumber ?? 0, 10);
      if (page.length === 0) break;
      t.true(page.length <= 10);
      found.push(...page);
    }
    const kept = long.slice(0, MAX_RAW_CHARACTERS - 1);
    t.deepEqual(
      found,
      rejected.map((row) => (row.raw === long ? { ...row, raw: kept } : row)),
    );
    for (const limit of [0, MAX_LIST_REJECTED + 1]) {
      await t.throwsAsync(store.rejected('d', 1, 0, limit), invalid);
    }
  },
  'a removed version is gone, others stay; its number can be made again': async (t, store) => {
    await store.create('d', 1, COLUMNS);
    await store.create('d', 2, COLUMNS);
    const rejected = [{ rowNumber: 1, reason: 'bad', raw: '' }];
    for (const version of [1, 2]) {
      await store.append('d', version, batchOf(numbered(0, 10), 0, { rejected }));
    }
    const scan = store.scan('d', 1, { batchRows: 5 })[Symbol.asyncIterator]();
    t.is((await scan.next()).value?.rowCount, 5);
    await store.remove('d', 1);
    await t.throwsAsync(store.counts('d', 1), expecting(Code.NOT_FOUND));
    t.is((await rowsOf(store, undefined, 2)).length, 10);
    await store.create('d', 1, COLUMNS);
    await t.throwsAsync(async () => scan.next(), expecting(Code.NOT_FOUND));
    t.deepEqual(await store.counts('d', 1), { accepted: 0, rejected: 0 });
    t.is(await store.offset('d', 1, 'job'), '');
    t.deepEqual(await store.rejected('d', 1, 0, 10), []);
    t.is((await store.rejected('d', 2, 0, 10)).length, 1);
  },
};

/** @param open makes a new, empty store. */
export function datasetsContract(name: string, open: () => Promise<DatasetsUnderTest>): void {
  for (const [title, body] of Object.entries({ ...writing, ...refusing, ...reading })) {
    test(`${name}: ${title}`, async (t) => {
      const under = await open();
      t.teardown(() => under.end());
      await body(t, under.store);
    });
  }
}
