// How the values of a row lie in a table of DuckDB. Few columns are columns. Many become lists, one
// for each type: DuckDB holds blocks of memory and does work for every column of a table whatever
// is in it (960 rows of 3,072 columns: 36 MB on the disk as columns and 3 MB as lists; 0.3 s and
// 140 MB of memory for a commit), and sets of thousands of columns beside each other stood still.
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  DuckDBListValue,
  type DuckDBType,
  type DuckDBValue,
  LIST,
  listValue,
  VARCHAR,
} from '@duckdb/node-api';
import type { Column, ColumnType, Row, Value } from './datasets.ts';
import { int64 } from './limits.ts';

/** A version with more columns keeps its values in lists. */
const MAX_TABLE_COLUMNS = 256;
/** Values picked out of lists by DuckDB; of more, the whole lists are read. */
const MAX_PICKED_COLUMNS = 64;

/** As they are named in the file. */
export type LayoutName = 'columns' | 'lists';

export interface Selection {
  /** Expressions of a SELECT; never a name that people gave. */
  readonly sql: string;
  /** What such a SELECT gives, column by column, as values of the columns asked for. */
  read(found: readonly (readonly DuckDBValue[])[]): Value[][];
}

export interface Layout {
  /** Columns of the table, for CREATE TABLE. */
  readonly sql: string;
  readonly types: readonly DuckDBType[];
  /** The rows' values for each column of the table. */
  write(rows: readonly Row[]): DuckDBValue[][];
  /** @param asked positions in the schema */
  select(asked: readonly number[]): Selection;
}

interface Storage {
  readonly sql: string;
  readonly type: DuckDBType;
  write(value: Value): DuckDBValue;
}

const STORAGES: Readonly<Record<ColumnType, Storage>> = {
  FLOAT64: { sql: 'DOUBLE', type: DOUBLE, write: Number },
  INT64: { sql: 'BIGINT', type: BIGINT, write: (value) => BigInt(value ?? 0) },
  STRING: { sql: 'VARCHAR', type: VARCHAR, write: String },
  BOOL: { sql: 'BOOLEAN', type: BOOLEAN, write: (value) => value === true },
};

export function layoutNameFor(columns: readonly Column[]): LayoutName {
  return columns.length > MAX_TABLE_COLUMNS ? 'lists' : 'columns';
}

export function layoutOf(name: LayoutName, columns: readonly Column[]): Layout {
  return name === 'lists' ? listLayout(columns) : columnLayout(columns);
}

function columnLayout(columns: readonly Column[]): Layout {
  const storages = columns.map(({ type }) => STORAGES[type]);
  return {
    sql: storages.map(({ sql }, at) => `c${at} ${sql}`).join(', '),
    types: storages.map(({ type }) => type),
    write: (rows) =>
      storages.map(({ write }, at) => rows.map((row) => written(write, row[at] ?? null))),
    select: (asked) => ({
      sql: asked.map((at) => `c${at}`).join(', '),
      read: (found) => found.map((values) => values.map(fromDuckdb)),
    }),
  };
}

/** One list of the table, of all columns of a type. */
interface List {
  readonly name: string;
  readonly storage: Storage;
  /** Positions in the schema, in their order. */
  readonly members: number[];
}

function listLayout(columns: readonly Column[]): Layout {
  const lists = new Map<ColumnType, List>();
  const places = columns.map(({ type }, at) => {
    const known = lists.get(type);
    const list = known ?? { name: `l${lists.size}`, storage: STORAGES[type], members: [] };
    lists.set(type, list);
    return { list, index: list.members.push(at) - 1 };
  });
  const all = [...lists.values()];
  return {
    sql: all.map(({ name, storage }) => `${name} ${storage.sql}[]`).join(', '),
    types: all.map(({ storage }) => LIST(storage.type)),
    write: (rows) =>
      all.map(({ storage, members }) =>
        rows.map((row) => listValue(members.map((at) => written(storage.write, row[at] ?? null)))),
      ),
    select: (asked) => {
      const wanted = asked.flatMap((at) => places[at] ?? []);
      // SQL counts the items of a list from 1.
      if (wanted.length <= MAX_PICKED_COLUMNS) {
        return {
          sql: wanted.map(({ list, index }) => `${list.name}[${index + 1}]`).join(', '),
          read: (found) => found.map((values) => values.map(fromDuckdb)),
        };
      }
      const read = all.filter((list) => wanted.some((place) => place.list === list));
      return {
        sql: read.map(({ name }) => name).join(', '),
        read: (found) =>
          wanted.map(({ list, index }) =>
            (found[read.indexOf(list)] ?? []).map((items) =>
              fromDuckdb(items instanceof DuckDBListValue ? (items.items[index] ?? null) : null),
            ),
          ),
      };
    },
  };
}

function written(write: Storage['write'], value: Value): DuckDBValue {
  return value === null ? null : write(value);
}

function fromDuckdb(value: DuckDBValue): Value {
  if (typeof value === 'bigint') return int64(value);
  if (typeof value === 'number' || typeof value === 'string') return value;
  return typeof value === 'boolean' ? value : null;
}
