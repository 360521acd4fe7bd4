// One element of a tensor out of its JSON value, into raw bytes: little endian, refused when the
// datatype can't hold it. What is written is what was said: nothing is rounded to an integer, cut
// to a range or turned into an infinity.
import { invalidArgument } from '../../common/status.ts';
import { type Datatype, elementSizeBytes } from '../../common/tensor.ts';

/** Writes one value at `at` and returns where the next goes; undefined: it does not fit. */
export type ElementWriter = (value: unknown, raw: Buffer, at: number) => number | undefined;

/** Datatypes that JSON carries; the others have raw bytes only. */
export type JsonDatatype = Exclude<Datatype, 'FP16' | 'BF16'>;

export function isJsonDatatype(datatype: Datatype): datatype is JsonDatatype {
  return datatype !== 'FP16' && datatype !== 'BF16';
}

function whole(sizeBytes: number, isSigned: boolean): ElementWriter {
  const low = isSigned ? -(2 ** (sizeBytes * 8 - 1)) : 0;
  const high = isSigned ? 2 ** (sizeBytes * 8 - 1) - 1 : 2 ** (sizeBytes * 8) - 1;
  return (value, raw, at) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
    if (value < low || value > high) return undefined;
    if (isSigned) raw.writeIntLE(value, at, sizeBytes);
    else raw.writeUIntLE(value, at, sizeBytes);
    return at + sizeBytes;
  };
}

function wide(isSigned: boolean): ElementWriter {
  const low = isSigned ? -(2n ** 63n) : 0n;
  const high = isSigned ? 2n ** 63n - 1n : 2n ** 64n - 1n;
  return (value, raw, at) => {
    const isExact = typeof value === 'bigint' || Number.isSafeInteger(value);
    if (!isExact) return undefined;
    const integer = BigInt(value as bigint | number);
    if (integer < low || integer > high) return undefined;
    raw.writeBigUInt64LE(BigInt.asUintN(64, integer), at);
    return at + 8;
  };
}

const NOT_FINITE: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [null, Number.NaN],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

function floating(value: unknown): number | undefined {
  if (typeof value === 'bigint') return Number(value);
  // A literal like 1e999 is no infinity that somebody wrote.
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  return NOT_FINITE.get(value);
}

const fp32: ElementWriter = (value, raw, at) => {
  const number = floating(value);
  if (number === undefined) return undefined;
  if (Number.isFinite(number) && !Number.isFinite(Math.fround(number))) return undefined;
  return raw.writeFloatLE(number, at);
};

const fp64: ElementWriter = (value, raw, at) => {
  const number = floating(value);
  return number === undefined ? undefined : raw.writeDoubleLE(number, at);
};

const bool: ElementWriter = (value, raw, at) => {
  if (value === true || value === 1) raw[at] = 1;
  else if (value === false || value === 0) raw[at] = 0;
  else return undefined;
  return at + 1;
};

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A string, or {"b64": "..."} for bytes that are no text. */
const bytes: ElementWriter = (value, raw, at) => {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) return undefined;
    const length = raw.write(value, at + 4, 'utf8');
    raw.writeUInt32LE(length, at);
    return at + 4 + length;
  }
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) {
    return undefined;
  }
  const { b64 } = value as { readonly b64?: unknown };
  if (typeof b64 !== 'string' || !BASE64.test(b64)) return undefined;
  const length = raw.write(b64, at + 4, 'base64');
  raw.writeUInt32LE(length, at);
  return at + 4 + length;
};

const WRITERS: Readonly<Record<JsonDatatype, ElementWriter>> = {
  BOOL: bool,
  UINT8: whole(1, false),
  UINT16: whole(2, false),
  UINT32: whole(4, false),
  UINT64: wide(false),
  INT8: whole(1, true),
  INT16: whole(2, true),
  INT32: whole(4, true),
  INT64: wide(true),
  FP32: fp32,
  FP64: fp64,
  BYTES: bytes,
};

export function writerOf(datatype: JsonDatatype): ElementWriter {
  return WRITERS[datatype];
}

/** What a datatype takes, for the text of an error. */
function wanted(datatype: JsonDatatype): string {
  if (datatype === 'BYTES') return 'a string or {"b64": base64}';
  if (datatype === 'BOOL') return 'true or false';
  if (datatype === 'FP32' || datatype === 'FP64') {
    return 'a number in its range, "NaN", "Infinity", "-Infinity" or null (NaN)';
  }
  const bits = elementSizeBytes(datatype) * 8;
  return `a whole number of ${bits} bits${datatype.startsWith('U') ? ', 0 or more' : ''}`;
}

function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}

export function unfit(value: unknown, at: number, datatype: JsonDatatype, input: string): Error {
  return invalidArgument(
    `Unable to parse 'data': element ${at} of input '${input}' is ${shown(value)}, but datatype ` +
      `${datatype} takes ${wanted(datatype)}`,
  );
}
