// Typed tensor data (InferTensorContents) turned into the raw form: little endian, row major. The
// elements are counted first, so nothing is allocated for a tensor whose count is wrong.
import { invalidArgument, type StatusError } from '../../common/status.ts';
import { type Datatype, elementSizeBytes } from '../../common/tensor.ts';
import { malformed, WireReader, WireType } from '../../proto/wire.ts';

/** The fields of InferTensorContents by number, each with the datatype that it is named after. */
const FIELD_DATATYPE = [
  undefined,
  'BOOL',
  'INT32',
  'INT64',
  'UINT32',
  'UINT64',
  'FP32',
  'FP64',
  'BYTES',
] as const;

/** The field that carries a datatype; undefined: raw only (FP16, BF16). */
const FIELD_OF: Record<Datatype, number | undefined> = {
  BOOL: 1,
  INT8: 2,
  INT16: 2,
  INT32: 2,
  INT64: 3,
  UINT8: 4,
  UINT16: 4,
  UINT32: 4,
  UINT64: 5,
  FP32: 6,
  FP64: 7,
  BYTES: 8,
  FP16: undefined,
  BF16: undefined,
};

/** Wire type of an element that stands alone; all but BYTES may also come packed. */
const WIRE_TYPE = [-1, 0, 0, 0, 0, 0, 5, 1, 2];
const BYTES_FIELD = 8;

export interface ContentsSize {
  readonly elements: number;
  /** Of the raw form. */
  readonly sizeBytes: number;
}

/** How an error names the input: "input tensor 'X' for model 'M'". */
export interface InputLabel {
  readonly input: string;
  readonly model: string;
}

/**
 * Counts the elements that `contents` holds for an input of `datatype`.
 * @throws INVALID_ARGUMENT when it holds data of another kind.
 */
export function measureContents(
  contents: Buffer,
  datatype: Datatype,
  label: InputLabel,
): ContentsSize {
  const reader = new WireReader(contents);
  const expected = FIELD_OF[datatype];
  let elements = 0;
  let bytesBytes = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = tag >>> 3;
    const sentDatatype = FIELD_DATATYPE[field];
    let count = WIRE_TYPE[field] === (tag & 7) ? 1 : 0;
    if ((tag & 7) === WireType.BYTES) {
      const length = reader.length();
      if (field === BYTES_FIELD) bytesBytes += 4 + length;
      else count = countPacked(reader.bytes, reader.position, length, field);
      reader.position += length;
    } else reader.skip(tag);
    if (sentDatatype === undefined || count === 0) continue;
    if (field !== expected) throw wrongKind(sentDatatype, datatype, label);
    elements += count;
  }
  const sizeBytes = datatype === 'BYTES' ? bytesBytes : elements * elementSizeBytes(datatype);
  return { elements, sizeBytes };
}

function wrongKind(sent: Datatype, expected: Datatype, { input, model }: InputLabel): StatusError {
  const hint = FIELD_OF[expected] === undefined ? `; ${expected} goes in raw_input_contents` : '';
  return invalidArgument(
    `unexpected explicit tensor data for input tensor '${input}' for model '${model}' ` +
      `of type '${sent}', expected datatype '${expected}'${hint}`,
  );
}

/** Elements of a packed field, bytes[start, start + length). */
function countPacked(bytes: Buffer, start: number, length: number, field: number): number {
  if (field === 6) return length / 4;
  if (field === 7) return length / 8;
  let count = 0;
  for (let at = start; at < start + length; at += 1) {
    if ((bytes[at] ?? 0) < 0x80) count += 1;
  }
  return count;
}

/**
 * The raw form of `contents`, which measureContents found right in kind and of `sizeBytes`.
 * @throws INVALID_ARGUMENT for a value that the datatype can't hold.
 */
export function convertContents(
  contents: Buffer,
  datatype: Datatype,
  sizeBytes: number,
  label: InputLabel,
): Buffer {
  const raw = Buffer.allocUnsafe(sizeBytes);
  const reader = new WireReader(contents);
  const field = FIELD_OF[datatype];
  let at = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const wireType = tag & 7;
    if (tag >>> 3 !== field) reader.skip(tag);
    else if (WIRE_TYPE[field] === wireType) at = convertOne(reader, datatype, raw, at, label);
    else if (wireType === WireType.BYTES) {
      const outerEnd = reader.enter();
      while (reader.position < reader.end) at = convertOne(reader, datatype, raw, at, label);
      reader.leave(outerEnd);
    } else reader.skip(tag);
  }
  return raw;
}

/** Range of a datatype that is narrower than the wire's 32 bits. */
const RANGE: Partial<Record<Datatype, readonly [low: number, high: number]>> = {
  INT8: [-128, 127],
  INT16: [-32768, 32767],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  UINT8: [0, 255],
  UINT16: [0, 65535],
  UINT32: [0, 2 ** 32 - 1],
};

/** Moves one element from the reader to `raw` at `at`; returns where the next goes. */
function convertOne(
  reader: WireReader,
  datatype: Datatype,
  raw: Buffer,
  at: number,
  label: InputLabel,
): number {
  if (datatype === 'BYTES') {
    const length = reader.length();
    raw.writeUInt32LE(length, at);
    reader.bytes.copy(raw, at + 4, reader.position, reader.position + length);
    reader.position += length;
    return at + 4 + length;
  }
  if (datatype === 'FP32' || datatype === 'FP64') return copyFixed(reader, datatype, raw, at);
  const range = RANGE[datatype];
  if (range !== undefined) {
    const value = reader.int64();
    if (value < range[0] || value > range[1]) throw outOfRange(value, datatype, at, label);
    const size = elementSizeBytes(datatype);
    if (range[0] < 0) raw.writeIntLE(value, at, size);
    else raw.writeUIntLE(value, at, size);
    return at + size;
  }
  reader.varint();
  if (datatype === 'BOOL') {
    raw[at] = reader.low === 0 && reader.high === 0 ? 0 : 1;
    return at + 1;
  }
  raw.writeUInt32LE(reader.low, at);
  raw.writeUInt32LE(reader.high, at + 4);
  return at + 8;
}

function copyFixed(reader: WireReader, datatype: Datatype, raw: Buffer, at: number): number {
  const size = elementSizeBytes(datatype);
  const start = reader.position;
  // One that stands alone was measured by skip(); a packed run may end in half an element.
  if (start + size > reader.end) {
    throw malformed(start, `a ${datatype} is cut off`);
  }
  reader.bytes.copy(raw, at, start, start + size);
  reader.position = start + size;
  return at + size;
}

function outOfRange(value: number, datatype: Datatype, at: number, label: InputLabel): StatusError {
  const element = at / elementSizeBytes(datatype);
  return invalidArgument(
    `value ${value} of element ${element} of input '${label.input}' for model '${label.model}' ` +
      `does not fit datatype '${datatype}'`,
  );
}
