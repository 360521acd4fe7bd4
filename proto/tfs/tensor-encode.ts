// A tensor in raw form as a TensorProto with typed values, as TensorFlow Serving answers: in pieces
// that are put together once, floats being views of the memory that they lie in.
// Field numbers: proto/tensorflow/core/framework/tensor.proto.
import { toBuffer } from '../../common/bytes.ts';
import { type Datatype, elementSizeBytes, type Tensor } from '../../common/tensor.ts';
import { WireType } from '../wire.ts';
import { dataTypeOf, valueFieldOf, valueFormOf } from './data-types.ts';
import { maxVarintBytes, writeVarint } from './elements.ts';

const DATA_TYPE_TAG = 0x08;
const SHAPE_TAG = 0x12;
const DIM_TAG = 0x12;
const SIZE_TAG = 0x08;

/** Bytes of a message in order, which nobody has joined yet. */
export class Pieces {
  readonly all: Uint8Array[] = [];
  sizeBytes = 0;

  add(bytes: Uint8Array): void {
    this.all.push(bytes);
    this.sizeBytes += bytes.length;
  }

  /** A length-delimited field. */
  field(number: number, content: Uint8Array | Pieces): void {
    const isPieces = content instanceof Pieces;
    const length = isPieces ? content.sizeBytes : content.length;
    this.add(Uint8Array.from([...varint((number << 3) | WireType.BYTES), ...varint(length)]));
    for (const piece of isPieces ? content.all : [content]) this.add(piece);
  }

  join(): Buffer {
    return Buffer.concat(this.all, this.sizeBytes);
  }
}

/** @param value a whole number from 0 */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

export function tensorProto({ datatype, shape, bytes }: Tensor): Pieces {
  const pieces = new Pieces();
  const dims = shape.flatMap((size) => {
    const dim = size === 0 ? [] : [SIZE_TAG, ...varint(size)];
    return [DIM_TAG, dim.length, ...dim];
  });
  const head = [DATA_TYPE_TAG, dataTypeOf(datatype), SHAPE_TAG, ...varint(dims.length), ...dims];
  pieces.add(Uint8Array.from(head));
  const field = valueFieldOf(datatype);
  const form = valueFormOf(datatype);
  const raw = toBuffer(bytes);
  if (form === 'bytes') addStrings(pieces, field, raw);
  else if (raw.length > 0) pieces.field(field, form === 'fixed' ? raw : varintsOf(raw, datatype));
  return pieces;
}

function varintsOf(raw: Buffer, datatype: Datatype): Buffer {
  const count = raw.length / elementSizeBytes(datatype);
  const target = Buffer.allocUnsafe(count * maxVarintBytes(datatype));
  let to = 0;
  for (let at = 0; at < count; at += 1) to = writeVarint(raw, datatype, at, target, to);
  return target.subarray(0, to);
}

function addStrings(pieces: Pieces, field: number, raw: Buffer): void {
  let at = 0;
  while (at < raw.length) {
    const start = at + 4;
    const end = start + raw.readUInt32LE(at);
    pieces.field(field, raw.subarray(start, end));
    at = end;
  }
}
