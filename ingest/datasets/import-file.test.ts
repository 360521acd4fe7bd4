import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DuckDBInstance } from '@duckdb/node-api';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Code, StatusError, unavailable } from '../../common/status.ts';
import type { Column, DatasetStore, RowBatch, Value } from '../../stores/datasets/datasets.ts';
import { openDuckdbDatasets } from '../../stores/datasets/duckdb.ts';
import { MemoryDatasets } from '../../stores/datasets/memory.ts';
import { type ImportFileOptions, type ImportProgress, importFile } from './import-file.ts';

async function* inChunks(file: string | Uint8Array, chunkBytes = 1_000) {
  const bytes = Buffer.from(file);
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

function run(
  store: DatasetStore,
  fileName: string,
  source: AsyncIterable<Uint8Array> | string,
  changes: Partial<ImportFileOptions> = {},
) {
  return importFile({
    source: typeof source === 'string' ? inChunks(source) : source,
    fileName,
    store,
    dataset: 'd',
    version: 1,
    sourceName: 'job',
    temporaryPath: join(tmpdir(), 'torus-import-unused'),
    signal: new AbortController().signal,
    ...changes,
  });
}

async function rowsOf(store: DatasetStore): Promise<Value[][]> {
  const rows: Value[][] = [];
  for await (const batch of store.scan('d', 1)) {
    for (let index = 0; index < batch.rowCount; index += 1) {
      rows.push(batch.columns.map((values) => values[index] ?? null));
    }
  }
  return rows;
}

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-import-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
const testdata = (name: string) => new URL(`../../test/testdata/${name}`, import.meta.url);

test('the penguins: missing values are null, nothing is rejected', async (t) => {
  const store = new MemoryDatasets();
  const source = createReadStream(testdata('penguins/penguins.json'));
  const result = await run(store, 'penguins.json', source);
  t.like(result, { read: 344, accepted: 344, rejected: 0 });
  const column = (name: string, type: Column['type'], isNullable = true) => {
    return { name, type, isNullable };
  };
  t.deepEqual(result.columns, [
    column('species', 'STRING', false),
    column('island', 'STRING', false),
    column('bill_length_mm', 'FLOAT64'),
    column('bill_depth_mm', 'FLOAT64'),
    column('flipper_length_mm', 'INT64'),
    column('body_mass_g', 'INT64'),
    column('sex', 'STRING'),
  ]);
  const rows = await rowsOf(store);
  t.deepEqual(rows[0], ['Adelie', 'Torgersen', 39.1, 18.7, 181, 3750, 'MALE']);
  t.is(rows.filter((row) => row[2] === null).length, 2);
  t.is(rows.filter((row) => row[6] === null).length, 11);
});

test('the digits: 65 columns of integers', async (t) => {
  const store = new MemoryDatasets();
  const source = createReadStream(testdata('digits/digits.csv'));
  const result = await run(store, 'digits.csv', source);
  t.like(result, { read: 1_797, accepted: 1_797, rejected: 0 });
  t.is(result.columns.length, 65);
  t.true(result.columns.every((column) => column.type === 'INT64' && !column.isNullable));
});

const good = fc.record({
  line: fc.tuple(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()),
});
const bad = fc.record({
  bad: fc.constantFrom(
    '1',
    '1,2,true,4',
    'x,1,true',
    '1,x,true',
    '1,1,maybe',
    '1,"1,true',
    '\xff,1,true',
  ),
});

/** -0 is written as 0. */
const withoutSign = (value: Value): Value => (Object.is(value, -0) ? 0 : value);

test('accepted + rejected = read, and rows are those that were written', async (t) => {
  const columns: Column[] = [
    { name: 'i', type: 'INT64', isNullable: false },
    { name: 'f', type: 'FLOAT64', isNullable: false },
    { name: 'b', type: 'BOOL', isNullable: false },
  ];
  const lines = fc.array(fc.oneof({ weight: 3, arbitrary: good }, bad), { minLength: 1 });
  const property = fc.asyncProperty(lines, fc.integer({ min: 1, max: 99 }), async (all, chunk) => {
    const store = new MemoryDatasets();
    const text = all.map((one) => ('line' in one ? one.line.join(',') : one.bad)).join('\n');
    const source = inChunks(Buffer.from(`i,f,b\n${text}\n`, 'latin1'), chunk);
    const result = await run(store, 'x.csv', source, { columns, maxBadRowRatio: 1 });
    const rows = all.flatMap((one) => ('line' in one ? [one.line.map(withoutSign)] : []));
    t.deepEqual(result, {
      columns,
      read: all.length,
      accepted: rows.length,
      rejected: all.length - rows.length,
    });
    t.deepEqual(await store.counts('d', 1), {
      accepted: rows.length,
      rejected: all.length - rows.length,
    });
    t.deepEqual(
      (await rowsOf(store)).map((row) => row.map(withoutSign)),
      rows,
    );
    const numbers = (await store.rejected('d', 1, 0, 1_000)).map((row) => row.rowNumber);
    t.deepEqual(
      numbers,
      all.flatMap((one, index) => ('bad' in one ? [index + 1] : [])),
    );
  });
  await fc.assert(property, { numRuns: 100 });
});

/** A store that fails before or after its nth append, as a crash would cut it off. */
function failing(store: DatasetStore, atAppend: number, isAfter: boolean): DatasetStore {
  let appends = 0;
  return Object.assign(Object.create(store), {
    create: store.create.bind(store),
    offset: store.offset.bind(store),
    rejected: store.rejected.bind(store),
    async append(id: string, version: number, batch: RowBatch) {
      appends += 1;
      if (appends === atAppend && !isAfter) throw unavailable('cut off');
      const counts = await store.append(id, version, batch);
      if (appends === atAppend) throw unavailable('cut off');
      return counts;
    },
  });
}

test('an import that was cut off goes on, and each row counts once', async (t) => {
  const lines = Array.from({ length: 35_000 }, (_, n) => (n % 500 === 3 ? `${n},bad` : `${n},1.5`));
  const file = `n,f\n${lines.join('\n')}\n`;
  for (const isAfter of [false, true]) {
    const store = new MemoryDatasets();
    for (const atAppend of [1, 2, 1]) {
      const cut = run(failing(store, atAppend, isAfter), 'x.csv', file);
      await t.throwsAsync(cut, { message: 'cut off' });
    }
    const result = await run(store, 'x.csv', file);
    t.like(result, { read: 35_000, accepted: 34_930, rejected: 70 });
    t.deepEqual(await store.counts('d', 1), { accepted: 34_930, rejected: 70 });
    const numbers = (await rowsOf(store)).map((row) => row[0]);
    t.deepEqual(
      numbers,
      Array.from({ length: 35_000 }, (_, n) => n).filter((n) => n % 500 !== 3),
    );
    // Once more changes nothing.
    t.like(await run(store, 'x.csv', file), { read: 35_000, accepted: 34_930, rejected: 70 });
    t.deepEqual(await store.counts('d', 1), { accepted: 34_930, rejected: 70 });
    await t.throwsAsync(run(store, 'x.csv', 'n,f\n1,1.5\n', { columns: result.columns }), {
      code: Code.FAILED_PRECONDITION,
    });
  }
});

test('a process killed in an import leaves a store that goes on', async (t) => {
  const folder = await temporaryFolder(t);
  const [path, csv] = [join(folder, 'datasets.duckdb'), join(folder, 'x.csv')];
  const lines = Array.from({ length: 30_000 }, (_, n) => (n % 1_000 === 3 ? `${n},bad` : `${n},1`));
  await writeFile(csv, `n,f\n${lines.join('\n')}\n`);
  const options = { fileName: 'x.csv', dataset: 'd', version: 1, sourceName: 'job' };
  const source = `
    import { createReadStream } from 'node:fs';
    import { importFile } from ${JSON.stringify(import.meta.resolve('./import-file.ts'))};
    import { openDuckdbDatasets } from ${JSON.stringify(
      import.meta.resolve('../../stores/datasets/duckdb.ts'),
    )};
    const store = await openDuckdbDatasets(${JSON.stringify(path)});
    await importFile({
      ...${JSON.stringify(options)}, store, source: createReadStream(${JSON.stringify(csv)}),
      signal: new AbortController().signal, temporaryPath: '',
      onProgress: ({ read }) => console.log(read),
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let read = 0;
  for await (const line of createInterface(child.stdout)) {
    read = Number(line);
    if (read === 10_000) child.kill('SIGKILL');
  }
  t.true(read >= 10_000);
  const store = await openDuckdbDatasets(path);
  t.teardown(() => store.close());
  const before = await store.counts('d', 1);
  t.true(before.accepted + before.rejected >= read);
  const progress: ImportProgress[] = [];
  const result = await run(store, 'x.csv', createReadStream(csv), {
    onProgress: (now) => progress.push(now),
  });
  t.like(result, { read: 30_000, accepted: 29_970, rejected: 30 });
  t.deepEqual(await store.counts('d', 1), { accepted: 29_970, rejected: 30 });
  const first = progress[0];
  if (first !== undefined) t.true(first.read > before.accepted + before.rejected);
  t.is((await rowsOf(store)).at(-1)?.[0], 29_999);
});

test('batches are bounded in rows and in cells, and progress tells of each', async (t) => {
  const sizes: number[] = [];
  const bounded = (columnCount: number, rows: number) => {
    const line = `${Array.from({ length: columnCount }, (_, at) => at).join(',')}\n`;
    const header = `${Array.from({ length: columnCount }, (_, at) => `c${at}`).join(',')}\n`;
    const store = new MemoryDatasets();
    const append = store.append.bind(store);
    store.append = (id, version, batch) => {
      sizes.push(batch.rows.length);
      return append(id, version, batch);
    };
    const progress: ImportProgress[] = [];
    const onProgress = (now: ImportProgress) => progress.push(now);
    const file = header + line.repeat(rows);
    return run(store, 'x.csv', inChunks(file, 65_536), { onProgress }).then(() => {
      t.is(progress.length, sizes.length);
      t.like(progress.at(-1), { read: rows, accepted: rows, bytesRead: file.length });
    });
  };
  await bounded(3, 20_100);
  t.deepEqual(sizes.splice(0), [10_000, 10_000, 100]);
  // Few enough commits for a file of 960 rows of 3,072 pixels: each of them costs 0.1 s or more.
  await bounded(3_072, 960);
  t.deepEqual(sizes, [325, 325, 310]);
});

test('too many bad rows fail the import at its end, with counts and reasons', async (t) => {
  const lines = (badRows: number) =>
    Array.from({ length: 200 }, (_, n) => (n < badRows ? 'x' : String(n))).join('\n');
  const columns: Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];
  const store = new MemoryDatasets();
  t.like(await run(store, 'x.csv', `n\n${lines(2)}`, { columns }), { rejected: 2 });
  const failed = run(store, 'x.csv', `n\n${lines(3)}`, { columns, version: 2 });
  const error = await t.throwsAsync(failed, invalid);
  t.regex(
    error?.message ?? '',
    /^3 of 200 rows of x.csv are bad \(1.5%, allowed are 1%\): row 1, /,
  );
  t.regex(error?.message ?? '', /"x" found, expected is INT64; row 2, .*; row 3, /);
  t.deepEqual(await store.counts('d', 2), { accepted: 197, rejected: 3 });
  const strict = run(store, 'x.csv', `n\n${lines(1)}`, { columns, version: 3, maxBadRowRatio: 0 });
  await t.throwsAsync(strict, invalid);
});

test('a file that begins badly is read on, one that is mostly bad is not', async (t) => {
  const columns: Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];
  const store = new MemoryDatasets();
  const begins = `n\n${'x\n'.repeat(900)}${'1\n'.repeat(99_100)}`;
  const result = await run(store, 'x.csv', inChunks(begins, 65_536), { columns });
  t.like(result, { read: 100_000, rejected: 900 });
  async function* endless() {
    yield Buffer.from('n\n');
    for (;;) yield Buffer.from('x\n'.repeat(1_000));
  }
  const error = await t.throwsAsync(
    run(store, 'y.csv', endless(), { columns, version: 2 }),
    invalid,
  );
  t.regex(error?.message ?? '', /rows of y.csv are bad \(100%/);
});

test('empty files and files without rows are refused with the reason', async (t) => {
  const store = new MemoryDatasets();
  const refused: [string, string, RegExp][] = [
    ['a.csv', '', /a.csv is empty/],
    ['a.csv', 'a,b\n', /a.csv has a header but no rows/],
    ['a.csv', 'a,b', /a header but no rows/],
    ['a.csv', '\ufeff', /no records/],
    ['a.json', '', /a.json is empty/],
    ['a.json', '[]', /a.json has no records/],
    ['a.jsonl', '\n\n', /a.jsonl has no records/],
    ['a.json', '[{"a":1}', /ends inside its array/],
    ['a.csv', 'a,a\n1,2\n', /"a" twice/],
    // Where its copy lies is nobody's business.
    ['a.parquet', 'PAR1 and more', /^the Parquet file can't be read: (?!.*torus-import)/],
  ];
  for (const [name, content, message] of refused) {
    const error = await t.throwsAsync(run(store, name, content), invalid, `${name}: ${content}`);
    t.regex(error?.message ?? '', message);
  }
  const columns: Column[] = [{ name: 'absent', type: 'INT64', isNullable: false }];
  const error = await t.throwsAsync(run(store, 'a.csv', 'a,b\n1,2\n', { columns }), invalid);
  t.regex(error?.message ?? '', /lacks column "absent".*a, b/);
});

test('a byte order mark, in whatever pieces it comes, is not part of the first name', async (t) => {
  for (const chunkBytes of [1, 2, 1_000]) {
    const store = new MemoryDatasets();
    const result = await run(store, 'a.csv', inChunks('\ufeffa,b\n1,2\n', chunkBytes));
    t.is(result.columns[0]?.name, 'a');
    const json = await run(store, 'a.json', inChunks('\ufeff[{"a":1}]', chunkBytes), {
      version: 2,
    });
    t.like(json, { accepted: 1, rejected: 0 });
  }
});

test('a signal ends an import, also while its source is silent', async (t) => {
  const controller = new AbortController();
  let isEnded = false;
  const started = Promise.withResolvers<void>();
  async function* silent() {
    try {
      yield Buffer.from('n\n1\n'.repeat(500));
      started.resolve();
      await new Promise(() => {});
    } finally {
      isEnded = true;
    }
  }
  const importing = run(new MemoryDatasets(), 'x.csv', silent(), { signal: controller.signal });
  await started.promise;
  controller.abort();
  await t.throwsAsync(importing, { instanceOf: StatusError, code: Code.CANCELLED });
  t.false(isEnded);
  // One that is not silent is left between batches, and ended.
  const second = new AbortController();
  async function* endless() {
    try {
      yield Buffer.from('n\n');
      for (;;) yield Buffer.from('1\n'.repeat(10_000));
    } finally {
      isEnded = true;
    }
  }
  const running = run(new MemoryDatasets(), 'x.csv', endless(), {
    signal: second.signal,
    onProgress: () => second.abort(),
  });
  await t.throwsAsync(running, { instanceOf: StatusError, code: Code.CANCELLED });
  t.true(isEnded);
});

test('Parquet: types come from the file, its temporary copy goes', async (t) => {
  const folder = await temporaryFolder(t);
  const [parquet, temporaryPath] = [join(folder, 'x.parquet'), join(folder, 'copy')];
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run(`COPY (SELECT i::INTEGER AS "a""b", i / 4 AS f, 'x' || i AS s,
    i % 2 = 0 AS b,
    DATE '2024-01-01' + i::INTEGER AS day, CASE WHEN i = 2 THEN NULL ELSE i::UBIGINT END AS u,
    CASE WHEN i = 1 THEN 'NaN'::FLOAT ELSE i::FLOAT END AS n
    FROM range(5000) t(i)) TO '${parquet}' (FORMAT parquet)`);
  await connection.run(`COPY (SELECT [1] AS list, 1 AS a) TO '${folder}/nested' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
  const store = new MemoryDatasets();
  const result = await run(store, 'x.parquet', createReadStream(parquet), { temporaryPath });
  t.like(result, { read: 5_000, accepted: 5_000, rejected: 0 });
  t.deepEqual(
    result.columns.map((column) => `${column.name} ${column.type}`),
    ['a"b INT64', 'f FLOAT64', 's STRING', 'b BOOL', 'day STRING', 'u INT64', 'n FLOAT64'],
  );
  const rows = await rowsOf(store);
  t.deepEqual(rows[1], [1, 0.25, 'x1', false, '2024-01-02', 1, null]);
  t.deepEqual(rows[2], [2, 0.5, 'x2', true, '2024-01-03', null, 2]);
  t.is(rows.at(-1)?.[0], 4_999);
  await t.throwsAsync(access(temporaryPath));
  const nested = { temporaryPath, version: 2 };
  const error = await t.throwsAsync(
    run(store, 'nested', createReadStream(join(folder, 'nested')), nested),
    invalid,
  );
  t.regex(error?.message ?? '', /column "list".*INTEGER\[\].*flatten/);
  await t.throwsAsync(access(temporaryPath));
  const columns: Column[] = [{ name: 'a', type: 'FLOAT64', isNullable: false }];
  const some = { ...nested, columns };
  const source = createReadStream(join(folder, 'nested'));
  t.like(await run(store, 'nested', source, some), { accepted: 1, columns });
});
