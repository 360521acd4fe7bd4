// Which format a file has, by its name and its first bytes; and the encodings that are refused.
import type { DATA_FORMATS } from '../../catalog/documents.ts';
import { invalidArgument } from '../../common/status.ts';

export type DataFormat = (typeof DATA_FORMATS)[number];

/** What detectFormat wants to see of a file's beginning. */
export const HEAD_BYTES = 512;

const EXTENSIONS: Readonly<Record<string, DataFormat>> = {
  csv: 'csv',
  tsv: 'csv',
  json: 'json',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  parquet: 'parquet',
};

/** Beginnings of files that can't be read, and what to do about it. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['1f8b', 'it is compressed with gzip: unpack it first'],
  ['504b0304', 'it is a ZIP archive or a spreadsheet: give its content as CSV'],
  ['28b52ffd', 'it is compressed with zstd: unpack it first'],
  ['fffe', 'it is UTF-16 text: save it as UTF-8'],
  ['feff', 'it is UTF-16 text: save it as UTF-8'],
];

/**
 * @param declared wins over the name, but not over the content of a Parquet file.
 * @throws INVALID_ARGUMENT for content that is none of these formats, with what to do.
 */
export function detectFormat(
  fileName: string,
  head: Uint8Array,
  declared?: DataFormat,
): DataFormat {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const isParquet = bytes.toString('latin1', 0, 4) === 'PAR1';
  const extension = /\.([^./\\]+)$/.exec(fileName)?.[1]?.toLowerCase() ?? '';
  const named = declared ?? EXTENSIONS[extension];
  if (isParquet && (named === undefined || named === 'parquet')) return 'parquet';
  if (isParquet) throw invalidArgument(`${fileName} is a Parquet file, not ${named}`);
  for (const [start, advice] of REFUSED) {
    if (bytes.toString('hex').startsWith(start)) {
      throw invalidArgument(`${fileName} can't be read as a data set: ${advice}`);
    }
  }
  if (named === 'parquet') throw invalidArgument(`${fileName} is no Parquet file`);
  if (bytes.includes(0)) {
    throw invalidArgument(
      `${fileName} is no text, or UTF-16: its beginning has bytes that are 0; give CSV, JSON or ` +
        'JSONL as UTF-8, or Parquet',
    );
  }
  return (
    named ??
    sniffed(
      bytes
        .toString('utf8')
        .replace(/^\ufeff/, '')
        .trimStart(),
    )
  );
}

function sniffed(text: string): DataFormat {
  if (text.startsWith('[')) return 'json';
  return text.startsWith('{') ? 'jsonl' : 'csv';
}
