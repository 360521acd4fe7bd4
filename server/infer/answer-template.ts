// An answer whose bytes are known but for the id and the data: all outputs plain, of fixed shapes
// after the batch dimension. Made once for requests that look alike (known-heads.ts), filled in for
// each: one buffer, written once.
import { elementSizeBytes, type Tensor } from '../../common/tensor.ts';
import type { RowOutputs } from '../loaded-model.ts';
import type { CheckedRequest } from './check.ts';
import { encodeResponse } from './response.ts';
import type { ServedSignature } from './signature.ts';

/** Up to so many bytes are copied faster one by one than by a view of them. */
const BYTEWISE_BELOW = 64;
/** A longer id needs a longer length. */
const MAX_ID_BYTES = 127;
/** Larger answers are encoded as ever: what they cost is their data. */
const MAX_DATA_BYTES = 65_536;
const NAME_TAG = 0x0a;
const VERSION_TAG = 0x12;
const ID_TAG = 0x1a;

interface TemplateOutput {
  /** Its place among the model's outputs. */
  readonly index: number;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** What stands before its data: for the first, all but the names before the id. */
  readonly head: Uint8Array;
}

export interface AnswerTemplate {
  /** Model and version. */
  readonly start: Uint8Array;
  readonly outputs: readonly TemplateOutput[];
  /** All but the id field. */
  readonly sizeBytes: number;
  readonly isBatched: boolean;
}

/** Undefined: the answer is not known before the run. */
export function answerTemplate(
  { model, version, maxBatchSize }: ServedSignature,
  { rows, outputs: choices }: Pick<CheckedRequest, 'rows' | 'outputs'>,
): AnswerTemplate | undefined {
  const isBatched = maxBatchSize > 0;
  const isPlain = choices.every(
    ({ output: { spec, reshape }, classCount }) =>
      classCount === 0 && reshape === undefined && spec.datatype !== 'BYTES',
  );
  if (choices.length === 0 || !isPlain) return undefined;
  let dataBytes = 0;
  const tensors: Tensor[] = [];
  for (const { output } of choices) {
    const { name, datatype } = output.spec;
    const shape = isBatched ? [rows, ...output.spec.shape.slice(1)] : output.spec.shape;
    const sizeBytes = shape.reduce((size, dim) => size * dim, elementSizeBytes(datatype));
    dataBytes += sizeBytes;
    if (shape.includes(-1) || !(dataBytes <= MAX_DATA_BYTES)) return undefined;
    tensors.push({ name, datatype, shape, bytes: new Uint8Array(sizeBytes) });
  }
  // The encoder's own bytes, cut where the data of each output lie.
  const whole = encodeResponse({ model, version, id: '', outputs: tensors });
  const startEnd = fieldEnd(whole, VERSION_TAG, fieldEnd(whole, NAME_TAG, 0));
  let end = whole.length;
  const outputs: TemplateOutput[] = [];
  for (let at = tensors.length - 1; at >= 0; at -= 1) {
    const { shape, bytes } = tensors[at] ?? { shape: [], bytes: new Uint8Array(0) };
    const dataStart = end - bytes.length;
    const headStart = at === 0 ? startEnd : dataStart - headSize(bytes.length);
    const head = Uint8Array.from(whole.subarray(headStart, dataStart));
    const index = choices[at]?.output.index ?? 0;
    outputs.unshift({ index, shape, sizeBytes: bytes.length, head });
    end = headStart;
  }
  const start = Uint8Array.from(whole.subarray(0, startEnd));
  return { start, outputs, sizeBytes: whole.length, isBatched };
}

/**
 * @param id UTF-8, empty for none
 * @returns undefined for what does not fit: outputs of other shapes than the model declares, or an
 * id of more than MAX_ID_BYTES
 */
export function fillAnswer(
  template: AnswerTemplate,
  outputs: RowOutputs,
  id: Uint8Array,
): Uint8Array | undefined {
  if (id.length > MAX_ID_BYTES || !hasShapes(template, outputs)) return undefined;
  const idBytes = id.length === 0 ? 0 : 2 + id.length;
  const answer = Buffer.allocUnsafe(template.sizeBytes + idBytes);
  answer.set(template.start, 0);
  let at = template.start.length;
  if (idBytes > 0) {
    answer[at] = ID_TAG;
    answer[at + 1] = id.length;
    answer.set(id, at + 2);
    at += idBytes;
  }
  for (let i = 0; i < template.outputs.length; i += 1) {
    const output = template.outputs[i];
    const whole = output === undefined ? undefined : outputs.whole[output.index];
    if (output === undefined || whole === undefined) continue;
    answer.set(output.head, at);
    at += output.head.length;
    const { index } = output;
    copyRange(whole.bytes, outputs.start(index), outputs.end(index), answer, at);
    at += output.sizeBytes;
  }
  return answer;
}

function hasShapes({ outputs: expected, isBatched }: AnswerTemplate, given: RowOutputs): boolean {
  for (let i = 0; i < expected.length; i += 1) {
    const one = expected[i];
    const whole = one === undefined ? undefined : given.whole[one.index];
    if (one === undefined || whole === undefined) return false;
    if (given.end(one.index) - given.start(one.index) !== one.sizeBytes) return false;
    if (whole.shape.length !== one.shape.length) return false;
    for (let axis = isBatched ? 1 : 0; axis < one.shape.length; axis += 1) {
      if (whole.shape[axis] !== one.shape[axis]) return false;
    }
  }
  return true;
}

function copyRange(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start > BYTEWISE_BELOW) {
    target.set(source.subarray(start, end), at);
    return;
  }
  for (let from = start, to = at; from < end; from += 1, to += 1) target[to] = source[from] ?? 0;
}

/** The end of a field that may be there: tag, length, bytes. */
function fieldEnd(bytes: Uint8Array, tag: number, start: number): number {
  if (bytes[start] !== tag) return start;
  let at = start + 1;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return at + length;
  }
}

/** Of a tag and a length. */
function headSize(lengthBytes: number): number {
  let size = 2;
  for (let rest = lengthBytes; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}
