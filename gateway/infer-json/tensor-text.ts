// A tensor's raw bytes as the text of a JSON list, some thousand values at a time, so that a large
// answer is never one string. Floats have a decimal point and are those of the tensor exactly;
// what is not finite is a string; bytes that are no text are {"b64": "..."}.
import { isUtf8 } from 'node:buffer';
import { Code, StatusError } from '../../common/status.ts';
import { elementSizeBytes } from '../../common/tensor.ts';
import type { JsonDatatype } from './elements.ts';

/** Values in one piece of text. */
const PIECE_ELEMENTS = 4_096;
/** Strings are longer: a piece also ends after this many bytes of them. */
const PIECE_BYTES = 64 * 1024;

type ElementReader = (raw: Buffer, at: number) => string;

/** Always told to be a float: a whole one has a decimal point or an exponent. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) return `"${value}"`;
  if (Object.is(value, -0)) return '-0.0';
  const text = String(value);
  return Number.isInteger(value) && !text.includes('e') ? `${text}.0` : text;
}

const READERS: Readonly<Record<Exclude<JsonDatatype, 'BYTES'>, ElementReader>> = {
  BOOL: (raw, at) => (raw[at] === 0 ? 'false' : 'true'),
  UINT8: (raw, at) => String(raw[at]),
  UINT16: (raw, at) => String(raw.readUInt16LE(at)),
  UINT32: (raw, at) => String(raw.readUInt32LE(at)),
  UINT64: (raw, at) => String(raw.readBigUInt64LE(at)),
  INT8: (raw, at) => String(raw.readInt8(at)),
  INT16: (raw, at) => String(raw.readInt16LE(at)),
  INT32: (raw, at) => String(raw.readInt32LE(at)),
  INT64: (raw, at) => String(raw.readBigInt64LE(at)),
  FP32: (raw, at) => floatText(raw.readFloatLE(at)),
  FP64: (raw, at) => floatText(raw.readDoubleLE(at)),
};

function broken(output: string, why: string): StatusError {
  return new StatusError(Code.INTERNAL, `the data of output '${output}' is broken: ${why}`);
}

/**
 * The values with commas between, without the brackets.
 * @param count elements that the shape has
 * @throws INTERNAL when the bytes are not that many elements
 */
export function tensorText(
  output: string,
  datatype: JsonDatatype,
  raw: Buffer,
  count: number,
): Generator<string> {
  if (datatype === 'BYTES') return stringsText(output, raw, count);
  const sizeBytes = elementSizeBytes(datatype);
  if (raw.length !== count * sizeBytes) {
    throw broken(output, `${raw.length} bytes, its shape has ${count * sizeBytes}`);
  }
  return numbersText(READERS[datatype], raw, sizeBytes);
}

function* numbersText(read: ElementReader, raw: Buffer, sizeBytes: number): Generator<string> {
  const pieceBytes = PIECE_ELEMENTS * sizeBytes;
  for (let start = 0; start < raw.length; start += pieceBytes) {
    const end = Math.min(start + pieceBytes, raw.length);
    let text = start === 0 ? '' : ',';
    for (let at = start; at < end; at += sizeBytes) {
      text += at === start ? read(raw, at) : `,${read(raw, at)}`;
    }
    yield text;
  }
}

function* stringsText(output: string, raw: Buffer, count: number): Generator<string> {
  let text = '';
  let elements = 0;
  for (let at = 0; at < raw.length; ) {
    if (at + 4 > raw.length) throw broken(output, 'a length field is cut off');
    const end = at + 4 + raw.readUInt32LE(at);
    if (end > raw.length) throw broken(output, 'a string is cut off');
    text += `${elements === 0 ? '' : ','}${stringText(raw.subarray(at + 4, end))}`;
    elements += 1;
    at = end;
    if (text.length >= PIECE_BYTES) {
      yield text;
      text = '';
    }
  }
  if (elements !== count) throw broken(output, `${elements} strings, its shape has ${count}`);
  yield text;
}

function stringText(bytes: Buffer): string {
  return isUtf8(bytes)
    ? JSON.stringify(bytes.toString('utf8'))
    : JSON.stringify({ b64: bytes.toString('base64') });
}
