// A file as it streams in, whatever its format: its schema where it has one, and its records in
// runs, never the whole in memory (Parquet rests in a temporary file).
import { abortable } from '../../common/abortable.ts';
import type { Column } from '../../stores/datasets/datasets.ts';
import { CsvReader } from './csv.ts';
import { type DataFormat, detectFormat, HEAD_BYTES } from './format.ts';
import { JsonReader } from './json.ts';
import { LineEnds } from './line-ends.ts';
import { openParquet } from './parquet.ts';
import type { SourceRecord } from './record.ts';

/** Bytes that are read at a time, so that no step holds the event loop for long. */
const SLICE_BYTES = 128 * 1024;
const BYTE_ORDER_MARK = 'efbbbf';

export interface SourceOptions {
  readonly source: AsyncIterable<Uint8Array>;
  /** Its extension tells the format when `format` does not. */
  readonly fileName: string;
  readonly format: DataFormat | undefined;
  readonly columns: readonly Column[] | undefined;
  readonly temporaryPath: string;
  readonly signal: AbortSignal;
  readonly onBytes: (bytesRead: number) => void;
}

export interface SourceFile {
  readonly format: DataFormat;
  /** Undefined for formats whose values alone tell it. */
  readonly columns: readonly Column[] | undefined;
  /** In the order of the file; must be read to its end, or ended with return(). */
  readonly records: AsyncGenerator<SourceRecord[]>;
}

/** @throws INVALID_ARGUMENT when the file is of no format that can be read. */
export async function openSource(options: SourceOptions): Promise<SourceFile> {
  const counted = count(options.source, options.onBytes);
  const bytes = abortable(counted, options.signal);
  try {
    const head = await headOf(bytes);
    const format = detectFormat(options.fileName, head, options.format);
    const whole = prefixed(head, bytes);
    if (format !== 'parquet') return { format, columns: undefined, records: text(whole, format) };
    const { columns, records } = await openParquet(whole, options.temporaryPath, options.columns);
    return { format, columns, records };
  } catch (thrown) {
    await bytes.return(undefined);
    throw thrown;
  }
}

async function* count(
  source: AsyncIterable<Uint8Array>,
  onBytes: (bytesRead: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytesRead = 0;
  for await (const chunk of source) {
    bytesRead += chunk.byteLength;
    onBytes(bytesRead);
    yield chunk;
  }
}

/** The first HEAD_BYTES or more, less only when there are no more. */
async function headOf(bytes: AsyncGenerator<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < HEAD_BYTES) {
    const next = await bytes.next();
    if (next.done) break;
    chunks.push(next.value);
    length += next.value.byteLength;
  }
  return Buffer.concat(chunks);
}

async function* prefixed(
  head: Uint8Array,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    yield* rest;
  } finally {
    // Also when it was left before it came to the rest.
    await rest.return(undefined);
  }
}

async function* text(
  bytes: AsyncIterable<Uint8Array>,
  format: 'csv' | 'json' | 'jsonl',
): AsyncGenerator<SourceRecord[]> {
  const reader = format === 'csv' ? new CsvReader() : new JsonReader(format);
  const lineEnds = format === 'csv' ? new LineEnds() : undefined;
  let isStart = true;
  for await (const chunk of bytes) {
    const hasMark =
      isStart && Buffer.from(chunk.subarray(0, 3)).toString('hex') === BYTE_ORDER_MARK;
    isStart = false;
    for (let at = hasMark ? 3 : 0; at < chunk.length; at += SLICE_BYTES) {
      const slice = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).subarray(
        at,
        at + SLICE_BYTES,
      );
      const records = reader.push(lineEnds?.push(slice) ?? slice);
      if (records.length > 0) yield records;
    }
  }
  const held = lineEnds?.end() ?? Buffer.alloc(0);
  if (held.length > 0) yield reader.push(held);
  const last = reader.end();
  if (last.length > 0) yield last;
}
