// JSON (an array of objects) and JSONL (an object on each line): the same records, cut differently.
import { statusOf } from '../../common/status.ts';
import { JsonArrayFramer } from './json-frames.ts';
import { repeatedKey } from './json-keys.ts';
import { LineFramer } from './line-frames.ts';
import { type Framer, recordOf, type SourceObject, type SourceRecord } from './record.ts';

/** Of a key in a reason. */
const MAX_SHOWN_CHARACTERS = 64;

export class JsonReader {
  readonly #framer: Framer;

  constructor(format: 'json' | 'jsonl') {
    this.#framer = format === 'json' ? new JsonArrayFramer() : new LineFramer();
  }

  /** @throws INVALID_ARGUMENT when the file as a whole is not of its format. */
  push(chunk: Uint8Array): SourceRecord[] {
    return this.#read(this.#framer.push(chunk));
  }

  end(): SourceRecord[] {
    return this.#read(this.#framer.end());
  }

  #read(frames: ReturnType<Framer['push']>): SourceRecord[] {
    const isLines = this.#framer instanceof LineFramer;
    return frames
      .map((frame) => recordOf(frame, objectRecord))
      .filter((record) => !(isLines && record.kind === 'bad' && record.raw.trim() === ''));
  }
}

function objectRecord(text: string): SourceRecord {
  const raw = text.trim();
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch (thrown) {
    return { kind: 'bad', raw, reason: `the record is no JSON: ${statusOf(thrown).message}` };
  }
  if (isObject(value)) {
    const twice = repeatedKey(raw, Object.keys(value).length);
    if (twice === undefined) return { kind: 'object', raw, object: value };
    const shown = JSON.stringify(twice.slice(0, MAX_SHOWN_CHARACTERS));
    return { kind: 'bad', raw, reason: `the record has key ${shown} twice: rename or drop one` };
  }
  const found = Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`;
  return { kind: 'bad', raw, reason: `the record is ${found}, expected is an object` };
}

function isObject(value: unknown): value is SourceObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
