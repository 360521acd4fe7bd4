// BYTES tensors (each element a u32 length, little endian, then the bytes) as the strings that ONNX
// Runtime takes and gives. Its binding passes strings as C text: UTF-8, cut at the first NUL.
import { isUtf8 } from 'node:buffer';
import { invalidArgument, type StatusError } from '../../../common/status.ts';
import { elementCount, type Tensor } from '../../../common/tensor.ts';

/** Why the engine can't take this BYTES tensor; undefined when it can. */
export function stringsProblem(tensor: Tensor): StatusError | undefined {
  const { bytes } = tensor;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const expected = elementCount(tensor.shape);
  let at = 0;
  let elements = 0;
  while (at < bytes.length) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    const end = at + 4 + length;
    if (end > bytes.length) return problem(tensor, elements, 'runs past the end of the data');
    const element = bytes.subarray(at + 4, end);
    if (!isUtf8(element)) return problem(tensor, elements, 'is not valid UTF-8');
    if (element.includes(0)) return problem(tensor, elements, 'holds a zero byte, where it is cut');
    at = end;
    elements++;
  }
  if (elements === expected) return undefined;
  return invalidArgument(
    `input '${tensor.name}' holds ${elements} elements, its shape [${tensor.shape.join(',')}] ` +
      `needs ${expected}`,
  );
}

function problem(tensor: Tensor, element: number, what: string): StatusError {
  return invalidArgument(
    `element ${element} of input '${tensor.name}' ${what}: ONNX Runtime's strings are UTF-8 text ` +
      'without zero bytes',
  );
}

/** `bytes` passed stringsProblem. */
export function decodeStrings(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings: string[] = [];
  let at = 0;
  while (at < buffer.length) {
    const end = at + 4 + buffer.readUInt32LE(at);
    strings.push(buffer.toString('utf8', at + 4, end));
    at = end;
  }
  return strings;
}

export function encodeStrings(strings: readonly string[]): Uint8Array {
  let sizeBytes = 0;
  for (const text of strings) sizeBytes += 4 + Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(sizeBytes);
  let at = 0;
  for (const text of strings) {
    const length = buffer.write(text, at + 4);
    buffer.writeUInt32LE(length, at);
    at += 4 + length;
  }
  return buffer;
}
