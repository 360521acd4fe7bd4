// A ModelInferResponse, written into one buffer of exactly its size: tensors go from the engine's
// memory to the message in a single copy. Data always in raw_output_contents, never typed.
import { Code, StatusError } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import { MAX_MESSAGE_BYTES } from '../../transport/backend.ts';

export interface InferAnswer {
  readonly model: string;
  readonly version: number;
  /** The request's, echoed. */
  readonly id: string;
  /** In the order of the model. */
  readonly outputs: readonly Tensor[];
}

/** @throws RESOURCE_EXHAUSTED, before anything is allocated, for more than a message may have */
export function encodeResponse({ model, version, id, outputs }: InferAnswer): Buffer {
  const versionText = String(version);
  const metadata = outputs.map(measureOutput);
  let size = textSize(model) + textSize(versionText) + (id === '' ? 0 : textSize(id));
  for (const [at, { bytes }] of outputs.entries()) {
    size += fieldSize(metadata[at] ?? 0) + fieldSize(bytes.length);
  }
  if (size > MAX_MESSAGE_BYTES) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `the answer would have ${size} bytes, more than the limit of ${MAX_MESSAGE_BYTES}: ask for ` +
        'fewer rows or outputs',
    );
  }
  const writer = new Writer(size);
  writer.text(0x0a, model);
  writer.text(0x12, versionText);
  if (id !== '') writer.text(0x1a, id);
  for (const [at, output] of outputs.entries()) {
    writer.header(0x2a, metadata[at] ?? 0);
    writer.text(0x0a, output.name);
    writer.text(0x12, output.datatype);
    if (output.shape.length === 0) continue;
    writer.header(0x1a, shapeSize(output.shape));
    for (const dim of output.shape) writer.varint(dim);
  }
  for (const { bytes } of outputs) {
    writer.header(0x32, bytes.length);
    writer.raw(bytes);
  }
  return writer.bytes;
}

/** Size of an InferOutputTensor: name, datatype, shape. */
function measureOutput({ name, datatype, shape }: Tensor): number {
  const dims = shape.length === 0 ? 0 : fieldSize(shapeSize(shape));
  return textSize(name) + textSize(datatype) + dims;
}

function shapeSize(shape: readonly number[]): number {
  let size = 0;
  for (const dim of shape) size += varintSize(dim);
  return size;
}

function textSize(text: string): number {
  return fieldSize(Buffer.byteLength(text));
}

/** A length-delimited field with a tag of one byte. */
function fieldSize(length: number): number {
  return 1 + varintSize(length) + length;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

class Writer {
  readonly bytes: Buffer;
  #at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  varint(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
      this.bytes[this.#at++] = (rest % 0x80) | 0x80;
    }
    this.bytes[this.#at++] = rest;
  }

  header(tag: number, length: number): void {
    this.bytes[this.#at++] = tag;
    this.varint(length);
  }

  text(tag: number, text: string): void {
    this.header(tag, Buffer.byteLength(text));
    this.#at += this.bytes.write(text, this.#at);
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}
