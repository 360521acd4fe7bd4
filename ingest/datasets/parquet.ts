// Parquet, read by DuckDB from a temporary file (its index stands at its end, so it can't be read
// as it streams in). Types come from the file itself; dates, times and the like become text.
import { open, rm } from 'node:fs/promises';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { invalidArgument, statusOf } from '../../common/status.ts';
import type { Column, ColumnType } from '../../stores/datasets/datasets.ts';
import { diskError } from '../../stores/disk-error.ts';
import type { SourceObject, SourceRecord } from './record.ts';

/** What DuckDB may hold of a file while it reads; a file that needs more fails. */
const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;

const INTEGERS = /^U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/;
const FLOATS = /^(FLOAT|DOUBLE|DECIMAL\(.*\))$/;
const UNREADABLE = /\[|^(STRUCT|MAP|UNION|BLOB|BIT|VARIANT|GEOMETRY)/;

export interface ParquetFile {
  readonly columns: readonly Column[];
  readonly records: AsyncGenerator<SourceRecord[]>;
}

/**
 * Copies the source to `temporaryPath`, which is removed when the records end or fail.
 * @param wanted columns to read; all when absent.
 * @throws INVALID_ARGUMENT when it can't be read as Parquet, or has columns of nested values.
 */
export async function openParquet(
  source: AsyncIterable<Uint8Array>,
  temporaryPath: string,
  wanted: readonly Column[] | undefined,
): Promise<ParquetFile> {
  let instance: DuckDBInstance | undefined;
  const release = async () => {
    instance?.closeSync();
    await rm(temporaryPath, { force: true });
  };
  try {
    await copy(source, temporaryPath);
    instance = await DuckDBInstance.create(':memory:', {
      threads: '1',
      memory_limit: `${MEMORY_LIMIT_BYTES}B`,
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    const connection = await instance.connect();
    const types = await typesOf(connection, temporaryPath);
    const columns = columnsOf(types, wanted);
    return { columns, records: rowsOf(connection, temporaryPath, columns, release) };
  } catch (thrown) {
    await release();
    throw thrown;
  }
}

async function copy(source: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  let file: Awaited<ReturnType<typeof open>> | undefined;
  try {
    file = await open(path, 'w');
  } catch (thrown) {
    throw diskError(thrown, 'make a temporary file', '');
  }
  try {
    for await (const chunk of source) {
      await file.writeFile(chunk).catch((thrown) => {
        throw diskError(thrown, 'write the Parquet file for reading', '');
      });
    }
  } finally {
    await file.close();
  }
}

async function typesOf(connection: DuckDBConnection, path: string): Promise<Map<string, string>> {
  const described = await readable(
    path,
    connection.runAndReadAll('DESCRIBE SELECT * FROM read_parquet(?)', [path]),
  );
  return new Map(described.getRows().map(([name, type]) => [String(name), String(type)]));
}

function columnsOf(
  types: ReadonlyMap<string, string>,
  wanted: readonly Column[] | undefined,
): Column[] {
  const names = wanted?.map((column) => column.name) ?? [...types.keys()];
  return names.map((name) => {
    const type = types.get(name);
    if (type === undefined) {
      throw invalidArgument(`the Parquet file lacks column ${JSON.stringify(name)} of the schema`);
    }
    if (UNREADABLE.test(type)) {
      throw invalidArgument(
        `column ${JSON.stringify(name)} of the Parquet file holds ${type}: only numbers, text ` +
          'and booleans can be columns of a data set; flatten it or leave it out',
      );
    }
    return { name, type: columnType(type), isNullable: true };
  });
}

function columnType(type: string): ColumnType {
  if (INTEGERS.test(type)) return 'INT64';
  if (FLOATS.test(type)) return 'FLOAT64';
  return type === 'BOOLEAN' ? 'BOOL' : 'STRING';
}

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  // Wide enough for unsigned and 128-bit integers, which are checked one by one.
  INT64: 'HUGEINT',
  FLOAT64: 'DOUBLE',
  BOOL: 'BOOLEAN',
  STRING: 'VARCHAR',
};

async function* rowsOf(
  connection: DuckDBConnection,
  path: string,
  columns: readonly Column[],
  release: () => Promise<void>,
): AsyncGenerator<SourceRecord[]> {
  try {
    const selected = columns.map(({ name, type }, at) => {
      return `CAST("${name.replaceAll('"', '""')}" AS ${SQL_TYPES[type]}) AS c${at}`;
    });
    const sql = `SELECT ${selected.join(', ')} FROM read_parquet(?)`;
    const result = await readable(path, connection.stream(sql, [path]));
    for (;;) {
      const chunk = await readable(path, result.fetchChunk());
      if (chunk === null || chunk.rowCount === 0) return;
      yield chunk.getRows().map((values) => objectRecord(columns, values));
    }
  } finally {
    connection.closeSync();
    await release();
  }
}

function objectRecord(columns: readonly Column[], values: readonly unknown[]): SourceRecord {
  const object: SourceObject = Object.fromEntries(
    columns.map((column, at) => [column.name, values[at] ?? null]),
  );
  const raw = JSON.stringify(object, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  return { kind: 'object', raw, object };
}

/** What DuckDB says of a file that it can't read is about the file; where it lies is not told. */
async function readable<Result>(path: string, reading: Promise<Result>): Promise<Result> {
  try {
    return await reading;
  } catch (thrown) {
    const [message = ''] = statusOf(thrown).message.split('\n');
    throw invalidArgument(`the Parquet file can't be read: ${message.replaceAll(path, 'it')}`);
  }
}
