// A TensorProto as it came: its head first, then its data in raw form (little endian, row major;
// strings each with a length), as a view of the message where it lies there so. As TensorFlow reads
// it: tensor_content wins; else the datatype's own field, whose last value fills what is missing.
// Field numbers: proto/tensorflow/core/framework/tensor.proto.
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { type Datatype, elementCount, elementSizeBytes } from '../../common/tensor.ts';
import { WireReader, WireType } from '../wire.ts';
import { valueFieldOf, valueFormOf } from './data-types.ts';
import { putVarint } from './elements.ts';

/** Dimensions of one shape; above it INVALID_ARGUMENT. */
export const MAX_DIMENSIONS = 64;

const DATA_TYPE_TAG = 0x08;
const SHAPE_TAG = 0x12;
const CONTENT_TAG = 0x22;
/** Of a TensorShapeProto, and of its Dim. */
const DIM_TAG = 0x12;
const UNKNOWN_RANK_TAG = 0x18;
const SIZE_TAG = 0x08;
/** Of a string in raw form. */
const LENGTH_BYTES = 4;

export interface SentTensor {
  /** DataType's number. */
  readonly dataType: number;
  /** None is negative; +Infinity stands for one beyond 2^53. */
  readonly shape: readonly number[];
  readonly content: Buffer | undefined;
  /** The whole message, for its typed values. */
  readonly message: Buffer;
}

/** @throws INVALID_ARGUMENT for what is no TensorProto, or has no shape to compute with */
export function readTensor(message: Buffer): SentTensor {
  const reader = new WireReader(message);
  let dataType = 0;
  let shape: number[] = [];
  let content: Buffer | undefined;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === DATA_TYPE_TAG) {
      reader.varint();
      dataType = reader.low;
    } else if (tag === SHAPE_TAG) shape = readShape(reader);
    else if (tag === CONTENT_TAG) content = reader.view();
    else reader.skip(tag);
  }
  return { dataType, shape, content: content?.length === 0 ? undefined : content, message };
}

function readShape(reader: WireReader): number[] {
  const outerEnd = reader.enter();
  const shape: number[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === DIM_TAG) {
      if (shape.length === MAX_DIMENSIONS) {
        throw invalidArgument(`a shape may have at most ${MAX_DIMENSIONS} dimensions`);
      }
      shape.push(readDim(reader));
    } else if (tag === UNKNOWN_RANK_TAG) {
      if (reader.uint64() !== 0n) throw invalidArgument('the rank of a request must be known');
    } else reader.skip(tag);
  }
  reader.leave(outerEnd);
  return shape;
}

function readDim(reader: WireReader): number {
  const outerEnd = reader.enter();
  let size = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === SIZE_TAG) size = reader.int64();
    else reader.skip(tag);
  }
  reader.leave(outerEnd);
  if (size < 0) throw invalidArgument(`a dimension of ${size} in a request`);
  return size;
}

/**
 * The data in raw form.
 * @param budgetBytes what may be allocated at most: values that fill a shape are more than was sent
 * @throws INVALID_ARGUMENT for content of another size than the shape's; RESOURCE_EXHAUSTED
 */
export function rawDataOf(tensor: SentTensor, datatype: Datatype, budgetBytes: number): Buffer {
  const count = elementCount(tensor.shape);
  if (!Number.isSafeInteger(count)) throw invalidArgument('the shape has too many elements');
  if (datatype === 'BYTES') return stringsOf(tensor, count, budgetBytes);
  const sizeBytes = count * elementSizeBytes(datatype);
  const { content } = tensor;
  if (content !== undefined) {
    if (content.length === sizeBytes) return content;
    throw invalidArgument(`tensor_content has ${content.length} bytes, ${sizeBytes} are expected`);
  }
  if (valueFormOf(datatype) === 'fixed') return fixedOf(tensor, datatype, sizeBytes, budgetBytes);
  const raw = room(sizeBytes, budgetBytes);
  const elementBytes = elementSizeBytes(datatype);
  let at = 0;
  for (const values of valuesOf(tensor, datatype)) {
    while (at < count && values.position < values.end) {
      values.varint();
      putVarint(raw, datatype, at, values.low, values.high);
      at += 1;
    }
  }
  fill(raw, at * elementBytes, elementBytes);
  return raw;
}

/** Floats lie in the message as they are in memory. */
function fixedOf(
  tensor: SentTensor,
  datatype: Datatype,
  sizeBytes: number,
  budgetBytes: number,
): Buffer {
  const elementBytes = elementSizeBytes(datatype);
  let raw: Buffer | undefined;
  let at = 0;
  for (const values of valuesOf(tensor, datatype)) {
    const bytes = values.bytes.subarray(values.position, values.end);
    if (bytes.length % elementBytes !== 0) {
      throw invalidArgument(`${bytes.length} bytes are no whole number of ${datatype} values`);
    }
    if (raw === undefined && bytes.length >= sizeBytes) return bytes.subarray(0, sizeBytes);
    raw ??= room(sizeBytes, budgetBytes);
    at += bytes.copy(raw, at, 0, Math.min(bytes.length, sizeBytes - at));
  }
  raw ??= room(sizeBytes, budgetBytes);
  fill(raw, at, elementBytes);
  return raw;
}

/** Readers over the values of the datatype's field, packed or one by one, without their heads. */
function* valuesOf({ message }: SentTensor, datatype: Datatype): Generator<WireReader> {
  const field = valueFieldOf(datatype);
  const reader = new WireReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const start = reader.position;
    if (tag >>> 3 === field && (tag & 7) === WireType.BYTES) {
      const length = reader.length();
      const valuesStart = reader.position;
      reader.position += length;
      yield new WireReader(message, valuesStart, reader.position);
    } else {
      reader.skip(tag);
      const isLone = tag >>> 3 === field && (tag & 7) === loneWireType(datatype);
      if (isLone) yield new WireReader(message, start, reader.position);
    }
  }
}

function loneWireType(datatype: Datatype): number {
  if (datatype === 'FP32') return WireType.FIXED32;
  return datatype === 'FP64' ? WireType.FIXED64 : WireType.VARINT;
}

/** The last value again and again; the memory is 0 where there is none. */
function fill(raw: Buffer, atBytes: number, elementBytes: number): void {
  if (atBytes === 0 || atBytes === raw.length) return;
  raw.fill(raw.subarray(atBytes - elementBytes, atBytes), atBytes);
}

function room(sizeBytes: number, budgetBytes: number): Buffer {
  if (sizeBytes > budgetBytes) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `the tensors of a request would take more than ${budgetBytes} bytes`,
    );
  }
  return Buffer.alloc(sizeBytes);
}

function stringsOf(tensor: SentTensor, count: number, budgetBytes: number): Buffer {
  const strings =
    tensor.content === undefined ? sentStrings(tensor, count) : contentStrings(tensor, count);
  const last = strings.at(-1) ?? Buffer.alloc(0);
  const missing = count - strings.length;
  let sizeBytes = missing * (LENGTH_BYTES + last.length);
  for (const one of strings) sizeBytes += LENGTH_BYTES + one.length;
  const raw = room(sizeBytes, budgetBytes);
  let at = 0;
  for (let index = 0; index < count; index += 1) {
    const one = strings[index] ?? last;
    at = raw.writeUInt32LE(one.length, at);
    at += one.copy(raw, at);
  }
  return raw;
}

function sentStrings({ message }: SentTensor, count: number): Buffer[] {
  const tagOfStrings = (valueFieldOf('BYTES') << 3) | WireType.BYTES;
  const reader = new WireReader(message);
  const strings: Buffer[] = [];
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === tagOfStrings && strings.length < count) strings.push(reader.view());
    else reader.skip(tag);
  }
  return strings;
}

/** All lengths come first, then all bytes. */
function contentStrings({ content = Buffer.alloc(0) }: SentTensor, count: number): Buffer[] {
  const reader = new WireReader(content);
  const lengths: number[] = [];
  while (lengths.length < count) {
    if (reader.position === reader.end) {
      throw invalidArgument(`tensor_content has ${lengths.length} strings, ${count} are expected`);
    }
    reader.varint();
    lengths.push(reader.high * 2 ** 32 + reader.low);
  }
  let at = reader.position;
  const strings = lengths.map((length) => {
    const one = content.subarray(at, at + length);
    at += length;
    return one;
  });
  if (at !== content.length) {
    throw invalidArgument(`tensor_content has ${content.length} bytes, ${at} are expected`);
  }
  return strings;
}
