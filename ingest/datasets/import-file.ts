// A file becomes rows of a data set version: format and schema found where they are not given,
// good rows kept, bad ones kept aside with their reason. accepted + rejected = read at every
// moment, also after a crash: calling it again with the same file goes on where it stopped.
import { Code, invalidArgument, statusOf } from '../../common/status.ts';
import type { Column, DatasetStore } from '../../stores/datasets/datasets.ts';
import { checkColumns } from '../../stores/datasets/limits.ts';
import { converter, missingColumn } from './convert.ts';
import type { DataFormat } from './format.ts';
import type { DataRecord, SourceRecord } from './record.ts';
import { openRowWriter, type ReadCounts } from './row-writer.ts';
import { inferColumns, SAMPLE_BYTES, SAMPLE_RECORDS } from './schema.ts';
import { openSource } from './source.ts';

/** Share of rows that may be bad, unless told otherwise. */
export const DEFAULT_MAX_BAD_ROW_RATIO = 0.01;
/** The share is judged at the end, but a file that is mostly bad by then is not read on. */
const EARLY_JUDGEMENT_ROWS = 1_000;
const MOSTLY_BAD_RATIO = 0.5;
/** Reasons that an error tells; all are in the store. */
const TOLD_REASONS = 3;

export interface ImportProgress extends ReadCounts {
  readonly bytesRead: number;
}

export interface ImportFileOptions {
  /** From its first byte, also when an import is continued. */
  readonly source: AsyncIterable<Uint8Array>;
  readonly fileName: string;
  /** Absent: by the file's name and first bytes. */
  readonly format?: DataFormat;
  /** Absent: inferred from the first records. */
  readonly columns?: readonly Column[];
  readonly store: DatasetStore;
  readonly dataset: string;
  /** Made when it is not there. */
  readonly version: number;
  /** Who reads: the job's name. The same one continues what it has begun. */
  readonly sourceName: string;
  readonly maxBadRowRatio?: number;
  /** For Parquet, which is written there while it is read. */
  readonly temporaryPath: string;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: ImportProgress) => void;
}

export interface ImportResult extends ReadCounts {
  readonly columns: readonly Column[];
}

/**
 * Does not seal the version.
 * @throws INVALID_ARGUMENT for a file that can't be read, is empty, or has too many bad rows;
 *   CANCELLED (or the signal's own status) when aborted; what the store throws.
 */
export async function importFile(options: ImportFileOptions): Promise<ImportResult> {
  const maxBadRowRatio = options.maxBadRowRatio ?? DEFAULT_MAX_BAD_ROW_RATIO;
  if (!(maxBadRowRatio >= 0 && maxBadRowRatio <= 1)) {
    throw invalidArgument(`the share of bad rows must be 0 to 1, not ${maxBadRowRatio}`);
  }
  let bytesRead = 0;
  const file = await openSource({
    ...options,
    format: options.format,
    columns: options.columns,
    onBytes: (bytes) => {
      bytesRead = bytes;
    },
  });
  try {
    const sample = await takeSample(file.records);
    checkNotEmpty(sample, bytesRead, options.fileName);
    const columns = await schemaOf(options, file.columns, sample, maxBadRowRatio);
    checkColumns(options.dataset, columns);
    await options.store.create(options.dataset, options.version, columns);
    const writer = await openRowWriter({
      ...options,
      columnCount: columns.length,
      convert: converter(columns, sample.header),
      onBatch: async (counts) => {
        options.onProgress?.({ ...counts, bytesRead });
        if (options.signal.aborted) throw statusOf(options.signal.reason, Code.CANCELLED);
        const isEarly = counts.read >= EARLY_JUDGEMENT_ROWS;
        if (isEarly) await judge(options, counts, Math.max(maxBadRowRatio, MOSTLY_BAD_RATIO));
      },
    });
    await writer.take(sample.records);
    sample.records.length = 0;
    for await (const records of file.records) await writer.take(records.filter(isData));
    const counts = await writer.finish();
    await judge(options, counts, maxBadRowRatio);
    return { ...counts, columns };
  } finally {
    await file.records.return(undefined);
  }
}

interface Sample {
  readonly header: readonly string[] | undefined;
  readonly records: DataRecord[];
  /** There are no more. */
  readonly isWhole: boolean;
}

async function takeSample(source: AsyncGenerator<SourceRecord[]>): Promise<Sample> {
  let header: readonly string[] | undefined;
  let characters = 0;
  const records: DataRecord[] = [];
  while (records.length < SAMPLE_RECORDS && characters < SAMPLE_BYTES) {
    const next = await source.next();
    if (next.done) return { header, records, isWhole: true };
    for (const record of next.value) {
      if (record.kind === 'header') header = record.names;
      else records.push(record);
      characters += record.kind === 'header' ? 0 : record.raw.length;
    }
  }
  return { header, records, isWhole: false };
}

function isData(record: SourceRecord): record is DataRecord {
  return record.kind !== 'header';
}

function checkNotEmpty(sample: Sample, bytesRead: number, fileName: string): void {
  if (sample.records.length > 0) return;
  if (bytesRead === 0) throw invalidArgument(`${fileName} is empty`);
  const what = sample.header === undefined ? 'no records' : 'a header but no rows';
  throw invalidArgument(`${fileName} has ${what}`);
}

async function schemaOf(
  options: ImportFileOptions,
  fileColumns: readonly Column[] | undefined,
  sample: Sample,
  tolerance: number,
): Promise<readonly Column[]> {
  const { header, isWhole } = sample;
  const declared = options.columns;
  if (declared === undefined) {
    return fileColumns ?? (await inferColumns(sample.records, { header, tolerance, isWhole }));
  }
  const missing = missingColumn(declared, header);
  if (missing === undefined) return declared;
  throw invalidArgument(
    `${options.fileName} lacks column ${JSON.stringify(missing)} of the schema; its header has ` +
      `${header?.slice(0, 20).join(', ')}`,
  );
}

/** @throws INVALID_ARGUMENT with counts and the first reasons when too many rows are bad. */
async function judge(
  options: ImportFileOptions,
  { read, rejected }: ReadCounts,
  ratio: number,
): Promise<void> {
  if (rejected <= read * ratio) return;
  const { store, dataset, version, fileName } = options;
  const first = await store.rejected(dataset, version, 0, TOLD_REASONS);
  throw invalidArgument(
    `${rejected} of ${read} rows of ${fileName} are bad (${percent(rejected / read)}, ` +
      `allowed are ${percent(options.maxBadRowRatio ?? DEFAULT_MAX_BAD_ROW_RATIO)}): ` +
      first.map((row) => row.reason).join('; '),
  );
}

function percent(ratio: number): string {
  return `${Number((100 * ratio).toPrecision(3))}%`;
}
