// Data sets, their versions and rejected rows, between documents and the admin API's messages.
import type { Entry } from '../../catalog/catalog.ts';
import type { DatasetVersionDoc } from '../../catalog/documents.ts';
import { invalidArgument } from '../../common/status.ts';
import {
  ColumnType,
  type DataSet,
  type DataSetSchema,
  type DataSetVersion,
  DataSetVersionState,
  type RejectedRow as RejectedRowMessage,
} from '../../proto/gen/torus/v1/data_set.ts';
import type { Column, RejectedRow } from '../../stores/datasets/datasets.ts';
import { MAX_COLUMNS } from '../../stores/datasets/limits.ts';
import { dateOf, etagOf, fromEnum } from './fields.ts';
import { datasetName, datasetVersionName, sourceName } from './resource-names.ts';

const MAX_COLUMN_NAME_CHARACTERS = 256;

const COLUMN_TYPES: Record<Column['type'], ColumnType> = {
  FLOAT64: ColumnType.FLOAT64,
  INT64: ColumnType.INT64,
  STRING: ColumnType.STRING,
  BOOL: ColumnType.BOOL,
};

const VERSION_STATES: Record<DatasetVersionDoc['state'], DataSetVersionState> = {
  OPEN: DataSetVersionState.OPEN,
  SEALED: DataSetVersionState.SEALED,
  FAILED: DataSetVersionState.FAILED,
};

function schemaMessage(columns: readonly Column[], targetColumn: string): DataSetSchema {
  return {
    columns: columns.map(({ name, type, isNullable }) => ({
      name,
      type: COLUMN_TYPES[type],
      nullable: isNullable,
    })),
    targetColumn,
  };
}

export function datasetMessage({ doc, revision }: Entry<'dataset'>): DataSet {
  return {
    name: datasetName(doc.name),
    description: doc.description,
    schema: schemaMessage(doc.columns, doc.targetColumn),
    latestSealedVersion: BigInt(doc.sealedVersion),
    createTime: dateOf(doc.createdMs),
    updateTime: dateOf(doc.updatedMs),
    etag: etagOf(revision),
  };
}

export function datasetVersionMessage(
  doc: DatasetVersionDoc,
  targetColumn: string,
): DataSetVersion {
  return {
    name: datasetVersionName(doc.dataset, doc.version),
    version: BigInt(doc.version),
    state: VERSION_STATES[doc.state],
    schema: schemaMessage(doc.columns, targetColumn),
    readRows: BigInt(doc.accepted + doc.rejected),
    acceptedRows: BigInt(doc.accepted),
    rejectedRows: BigInt(doc.rejected),
    createTime: dateOf(doc.createdMs),
    source: sourceName(doc.source),
  };
}

export function rejectedRowMessage(row: RejectedRow): RejectedRowMessage {
  return { rowNumber: BigInt(row.rowNumber), reason: row.reason, rawText: row.raw };
}

/** @throws INVALID_ARGUMENT for a schema that no row could have. */
export function schemaOf(schema: DataSetSchema | undefined): {
  readonly columns: Column[];
  readonly targetColumn: string;
} {
  const given = schema?.columns ?? [];
  if (given.length > MAX_COLUMNS) {
    throw invalidArgument(`${given.length} columns were given, the most are ${MAX_COLUMNS}`);
  }
  const names = new Set<string>();
  const columns = given.map(({ name, type, nullable }): Column => {
    const shown = JSON.stringify(name.slice(0, 100));
    if (name === '' || name.length > MAX_COLUMN_NAME_CHARACTERS) {
      throw invalidArgument(
        `column name ${shown} must have 1 to ${MAX_COLUMN_NAME_CHARACTERS} characters`,
      );
    }
    if (names.has(name)) throw invalidArgument(`column ${shown} is there twice`);
    names.add(name);
    return { name, type: columnTypeOf(name, type), isNullable: nullable };
  });
  const targetColumn = schema?.targetColumn ?? '';
  if (targetColumn !== '' && columns.length > 0 && !names.has(targetColumn)) {
    throw invalidArgument(`target_column ${JSON.stringify(targetColumn)} is none of the columns`);
  }
  return { columns, targetColumn };
}

function columnTypeOf(name: string, type: ColumnType): Column['type'] {
  return fromEnum(
    `type of column ${JSON.stringify(name.slice(0, 100))}`,
    {
      COLUMN_TYPE_FLOAT64: 'FLOAT64',
      COLUMN_TYPE_INT64: 'INT64',
      COLUMN_TYPE_STRING: 'STRING',
      COLUMN_TYPE_BOOL: 'BOOL',
    } as const,
    type,
  );
}
