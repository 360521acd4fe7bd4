import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import test, { type ExecutionContext } from 'ava';
import { COLUMN_TYPES, type Column, type DatasetStore, type Value } from './datasets.ts';
import { openDuckdbDatasets } from './duckdb.ts';

async function fileIn(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-layout-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return join(folder, 'datasets.duckdb');
}

/** Columns of all types in turn, each with a third of its values missing. */
function wide(count: number): Column[] {
  return Array.from({ length: count }, (_, at) => ({
    name: `column ${at}`,
    type: COLUMN_TYPES[at % COLUMN_TYPES.length] ?? 'STRING',
    isNullable: true,
  }));
}

function valueAt({ type }: Column, row: number, at: number): Value {
  const number = row * 31 + at * 7;
  if (number % 3 === 0) return null;
  if (type === 'FLOAT64') return number / 4;
  if (type === 'INT64') return number % 5 === 0 ? 2n ** 60n + BigInt(number) : -number;
  return type === 'BOOL' ? number % 2 === 0 : `text ${number}`;
}

const batch = (rows: readonly Value[][], at: number) => ({
  ...{ rows, rejected: [], source: 'job' },
  offset: String(at + 1),
  expectedOffset: at === 0 ? '' : String(at),
});

async function read(store: DatasetStore, columns?: readonly string[]): Promise<Value[][]> {
  const found: Value[][] = [];
  const options = { batchRows: 7, ...(columns === undefined ? {} : { columns }) };
  for await (const part of store.scan('d', 1, options)) {
    for (let row = 0; row < part.rowCount; row += 1) {
      found.push(part.columns.map((values) => values[row] ?? null));
    }
  }
  return found;
}

test('what is written is read, all of it, a few columns, many columns, of any width', async (t) => {
  for (const width of [1, 256, 257, 600]) {
    const store = await openDuckdbDatasets(await fileIn(t));
    const columns = wide(width);
    const rows = Array.from({ length: 40 }, (_, row) =>
      columns.map((column, at) => valueAt(column, row, at)),
    );
    await store.create('d', 1, columns);
    await store.append('d', 1, batch(rows.slice(0, 25), 0));
    await store.append('d', 1, batch(rows.slice(25), 1));
    t.deepEqual(await read(store), rows, String(width));
    for (const asked of [1, 5, 64, 65, 200]) {
      // From the end, so that neither order nor places are the schema's.
      const wanted = columns
        .map((_, at) => at)
        .slice(-asked)
        .reverse();
      const names = wanted.map((at) => columns[at]?.name ?? '');
      const expected = rows.map((row) => wanted.map((at) => row[at] ?? null));
      t.deepEqual(await read(store, names), expected, `${asked} of ${width}`);
    }
    await store.close();
  }
});

test('a scan of wide rows comes in pieces that bound its memory', async (t) => {
  const store = await openDuckdbDatasets(await fileIn(t));
  const columns = wide(1_000);
  const rows = Array.from({ length: 600 }, (_, row) =>
    columns.map((one, at) => valueAt(one, row, at)),
  );
  await store.create('d', 1, columns);
  await store.append('d', 1, batch(rows, 0));
  const sizes = async (names?: readonly string[]): Promise<number[]> => {
    const parts = store.scan('d', 1, names === undefined ? {} : { columns: names });
    return (await Array.fromAsync(parts)).map(({ rowCount }) => rowCount);
  };
  t.deepEqual(await sizes(), [500, 100]);
  t.deepEqual(await sizes(['column 1']), [600]);
  await store.close();
});

test('a file of schema 1, with its smaller blocks, is read and gone on with', async (t) => {
  const path = await fileIn(t);
  const columns = wide(300);
  const row = columns.map((column, at) => valueAt(column, 1, at));
  const types = { FLOAT64: 'DOUBLE', INT64: 'BIGINT', STRING: 'VARCHAR', BOOL: 'BOOLEAN' };
  const instance = await DuckDBInstance.create(path, { default_block_size: '16384' });
  const connection = await instance.connect();
  for (const sql of [
    'CREATE TABLE torus (schema INTEGER)',
    'INSERT INTO torus VALUES (1)',
    'CREATE SEQUENCE table_numbers START 2',
    `CREATE TABLE versions (id VARCHAR, version BIGINT, table_number BIGINT, columns VARCHAR,
       is_sealed BOOLEAN, accepted BIGINT, rejected BIGINT)`,
    `INSERT INTO versions VALUES ('d', 1, 1, '${JSON.stringify(columns)}', false, 0, 0)`,
    'CREATE TABLE offsets (table_number BIGINT, source VARCHAR, position VARCHAR)',
    'CREATE TABLE rejected (table_number BIGINT, row_number BIGINT, reason VARCHAR, raw VARCHAR)',
    `CREATE TABLE rows_1 (row_index BIGINT,
       ${columns.map(({ type }, at) => `c${at} ${types[type]}`).join(', ')})`,
  ]) {
    await connection.run(sql);
  }
  connection.closeSync();
  instance.closeSync();
  for (const at of [0, 1]) {
    const store = await openDuckdbDatasets(path);
    await store.append('d', 1, batch([row], at));
    await store.create('new', at + 1, columns);
    t.deepEqual(await read(store), Array(at + 1).fill(row));
    await store.close();
  }
});

test('a million numbers take little of the disk, in many columns and in few', async (t) => {
  for (const [width, rowCount] of [
    [5, 200_000],
    [2_000, 500],
  ] as const) {
    const path = await fileIn(t);
    const store = await openDuckdbDatasets(path);
    const columns = wide(width).map((column) => ({ ...column, type: 'INT64' as const }));
    await store.create('d', 1, columns);
    for (let at = 0; at < 4; at += 1) {
      const rows = Array.from({ length: rowCount / 4 }, (_, row) =>
        columns.map((_, column) => (row * column) % 255),
      );
      await store.append('d', 1, batch(rows, at));
    }
    await store.close();
    const { size } = await stat(path);
    t.true(size < 6 * 2 ** 20, `${width} columns: ${size} bytes`);
  }
});
