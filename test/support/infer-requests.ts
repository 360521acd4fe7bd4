// Requests for tests of a loaded model: tensors from plain numbers, and an outcome to wait for.
import type { StatusError } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import type { InferRequest, RunTimings } from '../../server/loaded-model.ts';

export interface Answer {
  readonly error: StatusError | undefined;
  /** Copies: a model's outputs are good only while `succeed` runs. */
  readonly outputs: readonly Tensor[];
  readonly timings: (RunTimings & { readonly queueNs: number }) | undefined;
}

export interface AwaitedRequest extends InferRequest {
  readonly answer: Promise<Answer>;
  /** How often it was answered. */
  readonly answers: () => number;
}

export function requestOf(
  inputs: readonly Tensor[],
  rows: number,
  deadlineMs = Number.POSITIVE_INFINITY,
): AwaitedRequest {
  let count = 0;
  let resolveAnswer: (answer: Answer) => void = () => {};
  const answer = new Promise<Answer>((resolve) => {
    resolveAnswer = resolve;
  });
  return {
    inputs,
    rows,
    deadlineMs,
    sizeBytes: inputs.reduce((sum, { bytes }) => sum + bytes.length, 0),
    arrivedMs: 0,
    shapeKey: '',
    queue: undefined,
    next: undefined,
    previous: undefined,
    answer,
    answers: () => count,
    succeed: (given) => {
      count++;
      const outputs = given
        .tensors()
        .map((tensor) => ({ ...tensor, bytes: Uint8Array.from(tensor.bytes) }));
      const timings = { ...given.timings, queueNs: given.queueNs };
      resolveAnswer({ error: undefined, outputs, timings });
    },
    fail: (error) => {
      count++;
      resolveAnswer({ error, outputs: [], timings: undefined });
    },
  };
}

export function fp32(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return { name, datatype: 'FP32', shape, bytes: bytesOf(Float32Array.from(values)) };
}

export function int64(name: string, shape: readonly number[], values: readonly bigint[]): Tensor {
  return { name, datatype: 'INT64', shape, bytes: bytesOf(BigInt64Array.from(values)) };
}

function bytesOf(array: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** The values of an output of FP32; none where there is no output. */
export function floatsOf(tensor: Tensor | undefined): readonly number[] {
  return tensor === undefined ? [] : Array.from(new Float32Array(tensor.bytes.slice().buffer));
}
