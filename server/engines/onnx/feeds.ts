// A batch's inputs as the runtime takes them: views of the memory that they were gathered into, and
// its outputs as bytes.
import type { TensorSpec } from '../../../common/tensor.ts';
import { elementSizeBytes } from '../../../common/tensor.ts';
import type { Batch } from '../engine.ts';
import { copyInput, gather } from '../gather.ts';
import { KEPT_SLAB_BYTES, readTable, type Slab } from '../slab.ts';
import type { OrtValue, OrtValues } from './binding.ts';
import { arrayOver, ortTypeOf } from './element-types.ts';
import { decodeStrings, encodeStrings } from './string-tensors.ts';

/** Batches of more rows get their feeds made anew each time. */
const MAX_KEPT_FEEDS = 1024;
const ALIGN_BYTES = 64;

/** Views of the inputs where they are; the runtime reads shared memory like its own. */
export function feedsOf(slab: Slab, inputs: readonly TensorSpec[]): OrtValues {
  const feeds: Record<string, OrtValue> = {};
  for (const [index, place] of readTable(slab.words, inputs.length).entries()) {
    const { name, datatype } = inputs[index] ?? { name: '', datatype: 'FP32' as const };
    const { offset, lengthBytes, shape } = place;
    const type = ortTypeOf(datatype);
    if (type === undefined) throw new Error(`input '${name}' is ${datatype}`);
    const data =
      type === 'string'
        ? decodeStrings(slab.bytes.subarray(offset, offset + lengthBytes))
        : arrayOver(type, slab.buffer, offset, lengthBytes);
    feeds[name] = { type, location: 'cpu', dims: shape, data };
  }
  return feeds;
}

/** An output's bytes where the runtime left them; texts are encoded anew. */
export function bytesOfValue({ type, data }: Pick<OrtValue, 'type' | 'data'>): Uint8Array {
  if (type === 'string') return encodeStrings(data as readonly string[]);
  const { buffer, byteOffset, byteLength } = data as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Where one thread's batches are gathered, again and again. */
export interface InputArea {
  /** Copies the inputs; good until the next call. @throws RESOURCE_EXHAUSTED */
  fill(batch: Batch): OrtValues;
}

/** @param maxBatchSize 0: no batching, shapes are taken as they are */
export function inputArea(inputs: readonly TensorSpec[], maxBatchSize: number): InputArea {
  const isFixed = inputs.every(
    ({ datatype, shape }) =>
      datatype !== 'BYTES' && !(maxBatchSize > 0 ? shape.slice(1) : shape).includes(-1),
  );
  const sizeBytes = Math.max(1, maxBatchSize) * inputs.reduce((sum, i) => sum + rowBytes(i), 0);
  if (isFixed && sizeBytes <= KEPT_SLAB_BYTES) return new FixedArea(inputs, maxBatchSize);
  return new OpenArea(inputs);
}

/** Bytes of one row; of the whole tensor where there are no rows. An open first dimension is 1. */
function rowBytes({ datatype, shape }: TensorSpec): number {
  return shape.reduce((size, dim) => size * Math.abs(dim), elementSizeBytes(datatype));
}

/** Shapes that requests can't choose: the feeds of each batch size are made once. */
class FixedArea implements InputArea {
  readonly #inputs: readonly TensorSpec[];
  readonly #bytes: Uint8Array;
  readonly #offsets: readonly number[];
  readonly #byRows: (OrtValues | undefined)[] = [];

  constructor(inputs: readonly TensorSpec[], maxBatchSize: number) {
    this.#inputs = inputs;
    const offsets: number[] = [];
    let end = 0;
    for (const input of inputs) {
      offsets.push(end);
      const sizeBytes = rowBytes(input) * Math.max(1, maxBatchSize);
      end += Math.ceil(sizeBytes / ALIGN_BYTES) * ALIGN_BYTES;
    }
    this.#offsets = offsets;
    this.#bytes = new Uint8Array(end);
  }

  fill({ requests, rows }: Batch): OrtValues {
    const bytes = this.#bytes;
    for (let input = 0; input < this.#inputs.length; input += 1) {
      let at = this.#offsets[input] ?? 0;
      for (let i = 0; i < requests.length; i += 1) {
        const tensor = requests[i]?.inputs[input];
        if (tensor === undefined) continue;
        copyInput(tensor, bytes, at);
        at += tensor.bytes.length;
      }
    }
    const kept = this.#byRows[rows];
    if (kept !== undefined) return kept;
    const feeds = this.#feeds(rows);
    if (rows <= MAX_KEPT_FEEDS) this.#byRows[rows] = feeds;
    return feeds;
  }

  #feeds(rows: number): OrtValues {
    const feeds: Record<string, OrtValue> = {};
    for (const [index, spec] of this.#inputs.entries()) {
      const type = ortTypeOf(spec.datatype);
      if (type === undefined || type === 'string') throw new Error(`no area for ${spec.datatype}`);
      const lengthBytes = rowBytes(spec) * Math.max(1, rows);
      const data = arrayOver(type, this.#bytes.buffer, this.#offsets[index] ?? 0, lengthBytes);
      const dims = rows === 0 ? spec.shape : [rows, ...spec.shape.slice(1)];
      feeds[spec.name] = { type, location: 'cpu', dims, data };
    }
    return feeds;
  }
}

/** Anything else: laid out for each batch. */
class OpenArea implements InputArea {
  readonly #inputs: readonly TensorSpec[];
  #slab: Slab | undefined;

  constructor(inputs: readonly TensorSpec[]) {
    this.#inputs = inputs;
  }

  fill(batch: Batch): OrtValues {
    this.#slab = gather(batch, this.#slab);
    return feedsOf(this.#slab, this.#inputs);
  }
}
