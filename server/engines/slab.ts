// Memory that two threads see: tensors of one batch, each at a multiple of 64 bytes, after a table
// that says where they are. Words of the table, for each tensor: offset, length (bytes), rank,
// dims.
import { Code, StatusError } from '../../common/status.ts';

const ALIGN_BYTES = 64;
const MIN_SLAB_BYTES = 16 * 1024;
/** Above it a slab is not kept for later batches much smaller than it. */
export const KEPT_SLAB_BYTES = 16 * 1024 * 1024;
/** Up to it a slab stays with its thread when that goes from one model to the next. */
export const KEPT_IDLE_SLAB_BYTES = 1024 * 1024;
/** Above it a batch fails with RESOURCE_EXHAUSTED. */
export const MAX_SLAB_BYTES = 2 * 1024 * 1024 * 1024;

/** A tensor's place in a slab. */
export interface Place {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly shape: readonly number[];
}

export class Slab {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Float64Array(buffer);
  }
}

/**
 * What an idle thread keeps of a slab. Its two ends decide alike, so neither has to tell the other.
 */
export function keptIdle(slab: Slab | undefined): Slab | undefined {
  return slab !== undefined && slab.bytes.length <= KEPT_IDLE_SLAB_BYTES ? slab : undefined;
}

/** The slab itself if it serves for `sizeBytes`, else a new one. @throws RESOURCE_EXHAUSTED */
export function slabFor(slab: Slab | undefined, sizeBytes: number): Slab {
  const has = slab?.bytes.length ?? 0;
  const isKept = has <= KEPT_SLAB_BYTES || sizeBytes * 4 >= has;
  if (slab !== undefined && sizeBytes <= has && isKept) return slab;
  checkSlabBytes(sizeBytes);
  const rounded = Math.max(MIN_SLAB_BYTES, 2 ** Math.ceil(Math.log2(Math.max(1, sizeBytes))));
  const newBytes = rounded <= KEPT_SLAB_BYTES ? rounded : align(sizeBytes);
  return new Slab(new SharedArrayBuffer(newBytes));
}

/** @throws RESOURCE_EXHAUSTED for more than a batch's inputs, or its outputs, may take. */
export function checkSlabBytes(sizeBytes: number): void {
  if (sizeBytes <= MAX_SLAB_BYTES) return;
  throw new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `a batch's tensors take ${sizeBytes} bytes, at most ${MAX_SLAB_BYTES} are allowed`,
  );
}

/** Where tensors of these sizes go, and the size of it all. */
export function layOut(
  tensors: readonly { readonly lengthBytes: number; readonly shape: readonly number[] }[],
): { readonly places: readonly Place[]; readonly sizeBytes: number } {
  let words = 0;
  for (const { shape } of tensors) words += 3 + shape.length;
  let offset = align(words * 8);
  const places: Place[] = [];
  for (const { lengthBytes, shape } of tensors) {
    places.push({ offset, lengthBytes, shape });
    offset = align(offset + lengthBytes);
  }
  return { places, sizeBytes: offset };
}

export function writeTable(words: Float64Array, places: readonly Place[]): void {
  let at = 0;
  for (const { offset, lengthBytes, shape } of places) {
    words[at++] = offset;
    words[at++] = lengthBytes;
    words[at++] = shape.length;
    for (const dim of shape) words[at++] = dim;
  }
}

export function readTable(words: Float64Array, count: number): Place[] {
  const places: Place[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const rank = words[at + 2] ?? 0;
    const shape = Array.from(words.subarray(at + 3, at + 3 + rank));
    places.push({ offset: words[at] ?? 0, lengthBytes: words[at + 1] ?? 0, shape });
    at += 3 + rank;
  }
  return places;
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;
}
