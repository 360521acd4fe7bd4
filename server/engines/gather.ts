// Copies the inputs of a batch's requests into its slab, one after the other: the one copy that an
// input's bytes get. Merged along the first dimension, they are one tensor for each input.
import type { Tensor } from '../../common/tensor.ts';
import type { Batch } from './engine.ts';
import { layOut, type Slab, slabFor, writeTable } from './slab.ts';

/**
 * Fills the slab, or a new one if that is too small, which it returns. @throws RESOURCE_EXHAUSTED
 */
export function gather(batch: Batch, slab: Slab | undefined): Slab {
  const first = batch.requests[0]?.inputs ?? [];
  const merged = first.map((tensor, input) => {
    let lengthBytes = 0;
    for (const { inputs } of batch.requests) lengthBytes += inputs[input]?.bytes.length ?? 0;
    const shape = batch.rows === 0 ? tensor.shape : [batch.rows, ...tensor.shape.slice(1)];
    return { lengthBytes, shape };
  });
  const { places, sizeBytes } = layOut(merged);
  const target = slabFor(slab, sizeBytes);
  writeTable(target.words, places);
  for (const [input, { offset }] of places.entries()) {
    let at = offset;
    for (const { inputs } of batch.requests) {
      const tensor = inputs[input];
      if (tensor === undefined) continue;
      copyInput(tensor, target.bytes, at);
      at += tensor.bytes.length;
    }
  }
  return target;
}

/** BOOL becomes 0 or 1 on the way: native code may take any other byte for neither. */
export function copyInput(tensor: Tensor, target: Uint8Array, at: number): void {
  const { bytes } = tensor;
  if (tensor.datatype !== 'BOOL') {
    target.set(bytes, at);
    return;
  }
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i] === 0 ? 0 : 1;
}
