// One record of a source file, before it is checked against a schema; the same for every format.
import { MAX_RAW_CHARACTERS } from '../../stores/datasets/datasets.ts';

/** A longer record is rejected, not buffered. */
export const MAX_RECORD_BYTES = 1024 * 1024;

export type SourceRecord =
  /** Once, first, where a format has a header. */
  | { readonly kind: 'header'; readonly names: readonly string[] }
  | { readonly kind: 'fields'; readonly raw: string; readonly fields: readonly string[] }
  | { readonly kind: 'object'; readonly raw: string; readonly object: SourceObject }
  /** Could not be read as a record at all. */
  | { readonly kind: 'bad'; readonly raw: string; readonly reason: string };

export type SourceObject = Readonly<Record<string, unknown>>;
export type DataRecord = Exclude<SourceRecord, { readonly kind: 'header' }>;

/** The bytes of one record, cut out of the file; `problem` is '' when they are whole. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly problem: string;
}

/** Cuts a file that comes in pieces into records. Bytes of a frame are good until the next push. */
export interface Framer {
  push(chunk: Uint8Array): Frame[];
  end(): Frame[];
}

export const TOO_LONG = `the record is longer than ${MAX_RECORD_BYTES} bytes`;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/** Text of a frame given to `parse`; a bad record when it is not whole or no UTF-8. */
export function recordOf(frame: Frame, parse: (text: string) => SourceRecord): SourceRecord {
  if (frame.problem !== '') return badRecord(frame.bytes, frame.problem);
  let text: string;
  try {
    text = strict.decode(frame.bytes);
  } catch {
    return badRecord(frame.bytes, 'the record is not valid UTF-8');
  }
  return parse(text);
}

function badRecord(bytes: Uint8Array, reason: string): SourceRecord {
  const raw = lenient.decode(bytes.subarray(0, MAX_RAW_CHARACTERS));
  return { kind: 'bad', raw, reason };
}

export function joined(rest: Uint8Array, chunk: Uint8Array): Buffer {
  if (rest.length > 0) return Buffer.concat([rest, chunk]);
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
