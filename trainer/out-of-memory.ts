// A training that needs more memory than there is: V8, WebAssembly and the system each say so in
// words of their own, and a job's owner needs to hear what to ask for instead.
import { Code, StatusError } from '../common/status.ts';

const SIGNS = [
  // V8's heap; it ends the process.
  /heap out of memory/i,
  // TensorFlow.js's WebAssembly: an allocation that failed is used all the same.
  /memory access out of bounds/,
  /\bout of memory\b|\bOOM\b|Cannot enlarge memory/i,
  // Typed arrays, outside of the heap.
  /Array buffer allocation failed|Invalid typed array length/,
];

/** Whether a text of stderr, or of an error, tells of a lack of memory. */
export function isOutOfMemory(text: string): boolean {
  return SIGNS.some((sign) => sign.test(text));
}

/** @param how it showed, or what the limit is. */
export function outOfMemory(how: string): StatusError {
  return new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `the training process ran out of memory (${how}): use fewer rows, features or hidden units, ` +
      'or a smaller batch size',
  );
}
