// BYTES in raw form: each element a length (u32, little endian), then that many bytes of UTF-8.
import { isUtf8 } from 'node:buffer';
import { invalidArgument } from '../../common/status.ts';

/**
 * Checks that `raw` is exactly `count` elements, each valid UTF-8 (ONNX strings are text).
 * @throws INVALID_ARGUMENT
 */
export function checkStrings(raw: Buffer, count: number, input: string, model: string): void {
  const name = `inference input '${input}' for model '${model}'`;
  const end = raw.length;
  let at = 0;
  let elements = 0;
  while (at < end) {
    if (end - at < 4) {
      throw invalidArgument(
        `incomplete string length indicator for ${name}, expecting 4 bytes but only ` +
          `${end - at} bytes available`,
      );
    }
    const length = raw.readUInt32LE(at);
    at += 4;
    if (length > end - at) {
      throw invalidArgument(
        `incomplete string data for ${name}, expecting string of length ${length} but only ` +
          `${end - at} bytes available`,
      );
    }
    if (!isText(raw, at, at + length)) {
      throw invalidArgument(
        `string element ${elements} of ${name} is not valid UTF-8, which BYTES must be`,
      );
    }
    at += length;
    elements += 1;
  }
  checkStringCount(elements, count, input, model);
}

export function checkStringCount(got: number, count: number, input: string, model: string): void {
  const name = `inference input '${input}' for model '${model}'`;
  if (got > count) {
    throw invalidArgument(
      `unexpected number of string elements ${got} for ${name}, expecting ${count}`,
    );
  }
  if (got < count)
    throw invalidArgument(`expected ${count} string elements for ${name}, got ${got}`);
}

function isText(raw: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    if ((raw[at] ?? 0) >= 0x80) return isUtf8(raw.subarray(at, end));
  }
  return true;
}
