// Single elements of tensors in their raw form (little endian), to and from the 64 bits that a
// varint carries.
import type { Datatype } from '../../common/tensor.ts';

/** Puts the low bits of a varint (two halves, unsigned) as element `at` of `raw`. */
export function putVarint(
  raw: Buffer,
  datatype: Datatype,
  at: number,
  low: number,
  high: number,
): void {
  switch (datatype) {
    case 'BOOL':
      raw[at] = low === 0 && high === 0 ? 0 : 1;
      return;
    case 'INT8':
    case 'UINT8':
      raw[at] = low & 0xff;
      return;
    case 'INT16':
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      raw.writeUInt16LE(low & 0xffff, 2 * at);
      return;
    case 'INT32':
    case 'UINT32':
      raw.writeUInt32LE(low, 4 * at);
      return;
    default:
      raw.writeUInt32LE(low, 8 * at);
      raw.writeUInt32LE(high, 8 * at + 4);
  }
}

/** Writes element `at` of `raw` as a varint at `target[to]`, and gives where the next one goes. */
export function writeVarint(
  raw: Buffer,
  datatype: Datatype,
  at: number,
  target: Buffer,
  to: number,
): number {
  switch (datatype) {
    case 'BOOL':
      target[to] = raw[at] === 0 ? 0 : 1;
      return to + 1;
    case 'UINT8':
      return small(raw[at] ?? 0, target, to);
    case 'INT8':
      return signed(raw.readInt8(at), target, to);
    case 'UINT16':
    case 'FP16':
    case 'BF16':
      return small(raw.readUInt16LE(2 * at), target, to);
    case 'INT16':
      return signed(raw.readInt16LE(2 * at), target, to);
    case 'INT32':
      return signed(raw.readInt32LE(4 * at), target, to);
    case 'UINT32':
      return small(raw.readUInt32LE(4 * at), target, to);
    default:
      return wide(raw.readUInt32LE(8 * at), raw.readUInt32LE(8 * at + 4), target, to);
  }
}

/** Of 0 to 2^32 - 1. */
function small(value: number, target: Buffer, to: number): number {
  let rest = value;
  let at = to;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}

/** Negative numbers take the 10 bytes of their 64 bits, as protobuf has it. */
function signed(value: number, target: Buffer, to: number): number {
  return value >= 0 ? small(value, target, to) : wide(value >>> 0, 0xffffffff, target, to);
}

function wide(low: number, high: number, target: Buffer, to: number): number {
  let [restLow, restHigh] = [low, high];
  let at = to;
  while (restHigh > 0 || restLow >= 0x80) {
    target[at++] = (restLow & 0x7f) | 0x80;
    restLow = ((restLow >>> 7) | ((restHigh & 0x7f) << 25)) >>> 0;
    restHigh >>>= 7;
  }
  target[at++] = restLow;
  return at;
}

/** The most bytes that a varint of an element takes. */
export function maxVarintBytes(datatype: Datatype): number {
  if (datatype === 'BOOL') return 1;
  if (datatype === 'UINT8') return 2;
  if (datatype === 'UINT16' || datatype === 'FP16' || datatype === 'BF16') return 3;
  return datatype === 'UINT32' ? 5 : 10;
}
