// How data sets lie in PostgreSQL. Rows are blocks (row-blocks.ts), in a table of their own for
// each version, so that a version of any size is gone at once when it is removed. The columns of a
// block are cut into a few parts, each a tuple, so that a scan of a few columns reads little else.
import type { StoreTables } from '../postgres/postgres-schema.ts';

/** Parts of a block, at most: each costs some 60 bytes, also where an append is one row. */
export const MAX_PARTS = 8;

/** May be in one database with the catalog. */
export const DATASET_TABLES: StoreTables = {
  what: 'the data sets',
  schemaTable: 'torus_dataset_schema',
  schema: 1,
  // Table numbers are never used again: a scan of a removed version can't read another's rows.
  create: `
    CREATE TABLE torus_dataset_versions (
      id text COLLATE "C" NOT NULL,
      version bigint NOT NULL,
      table_number bigint GENERATED ALWAYS AS IDENTITY,
      columns text NOT NULL,
      is_sealed boolean NOT NULL DEFAULT false,
      accepted bigint NOT NULL DEFAULT 0,
      rejected bigint NOT NULL DEFAULT 0,
      size_bytes bigint NOT NULL DEFAULT 0,
      PRIMARY KEY (id, version)
    );
    CREATE TABLE torus_dataset_offsets (
      table_number bigint NOT NULL,
      source text COLLATE "C" NOT NULL,
      position text NOT NULL,
      PRIMARY KEY (table_number, source)
    )`,
};

export function rowsTable(table: number): string {
  return `torus_dataset_rows_${table}`;
}

export function rejectedTable(table: number): string {
  return `torus_dataset_rejected_${table}`;
}

/**
 * Of a version. A block begins where the bytes of all before it end: a scan asks for so many bytes
 * from there on, whatever the blocks' sizes are.
 */
export function createVersionTables(table: number): string {
  return `
    CREATE TABLE ${rowsTable(table)} (
      begin_byte bigint NOT NULL,
      part smallint NOT NULL,
      end_byte bigint NOT NULL,
      row_count integer NOT NULL,
      bytes bytea NOT NULL,
      PRIMARY KEY (begin_byte, part)
    );
    CREATE TABLE ${rejectedTable(table)} (
      row_number bigint NOT NULL,
      number bigint GENERATED ALWAYS AS IDENTITY,
      reason text NOT NULL,
      raw text NOT NULL,
      PRIMARY KEY (row_number, number)
    )`;
}

/** Columns of the schema from `first` to before `end`. */
export interface Part {
  readonly first: number;
  readonly end: number;
}

/** @param width columns of the schema */
export function partsOf(width: number): Part[] {
  const count = Math.min(width, MAX_PARTS);
  return Array.from({ length: count }, (_, part) => ({
    first: Math.floor((part * width) / count),
    end: Math.floor(((part + 1) * width) / count),
  }));
}

/** Text as PostgreSQL can hold it, which knows no NUL: a JSON string. */
export function kept(text: string): string {
  return JSON.stringify(text);
}

export function given(text: unknown): string {
  return String(JSON.parse(String(text)));
}
