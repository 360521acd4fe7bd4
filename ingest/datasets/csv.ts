// CSV (RFC 4180, with a header): records and their fields. Blank lines are no records. A quote
// inside a field that does not begin with one is text.
import { invalidArgument } from '../../common/status.ts';
import { MAX_COLUMNS } from '../../stores/datasets/limits.ts';
import { CsvFramer } from './csv-frames.ts';
import { type Frame, recordOf, type SourceRecord } from './record.ts';

export class CsvReader {
  readonly #framer = new CsvFramer();
  #hasHeader = false;

  /** @throws INVALID_ARGUMENT when the header can't be one. */
  push(chunk: Uint8Array): SourceRecord[] {
    return this.#framer.push(chunk).map((frame) => this.#read(frame));
  }

  end(): SourceRecord[] {
    return this.#framer.end().map((frame) => this.#read(frame));
  }

  #read(frame: Frame): SourceRecord {
    const record = recordOf(frame, (text) => {
      const raw = text.endsWith('\r') ? text.slice(0, -1) : text;
      return { kind: 'fields', raw, fields: fieldsOf(raw, this.#framer.delimiter) };
    });
    if (this.#hasHeader) return record;
    this.#hasHeader = true;
    return headerOf(record);
  }
}

function headerOf(record: SourceRecord): SourceRecord {
  if (record.kind === 'bad') throw invalidArgument(`the header can't be read: ${record.reason}`);
  if (record.kind !== 'fields') throw invalidArgument('the file has no header');
  // A column without a name is what data frames write for their index.
  const names = record.fields.map((field, at) => field.trim() || `column_${at + 1}`);
  if (names.length > MAX_COLUMNS) {
    throw invalidArgument(
      `the header has ${names.length} columns, at most ${MAX_COLUMNS} are read`,
    );
  }
  const seen = new Set<string>();
  // Set.add() gives the set, never false: a name is twice when it was there before.
  const twice = names.find((name) => seen.has(name) || !seen.add(name));
  if (twice !== undefined) {
    throw invalidArgument(`the header names column ${JSON.stringify(twice)} twice: rename one`);
  }
  return { kind: 'header', names };
}

/** Fields of a record that CsvFramer found whole. */
export function fieldsOf(text: string, delimiter: string): string[] {
  if (!text.includes('"')) return text.split(delimiter);
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const quoted = text[at] === '"' ? quotedField(text, at) : undefined;
    const from = quoted === undefined ? at : quoted.next;
    const end = text.indexOf(delimiter, from);
    const rest = text.slice(from, end < 0 ? text.length : end);
    fields.push((quoted?.value ?? '') + rest);
    if (end < 0) return fields;
    at = end + delimiter.length;
  }
}

function quotedField(text: string, start: number): { value: string; next: number } {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
  if (end < 0) return { value: text.slice(start), next: text.length };
  return { value: text.slice(start + 1, end).replaceAll('""', '"'), next: end + 1 };
}
