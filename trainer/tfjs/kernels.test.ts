import * as tf from '@tensorflow/tfjs-core';
import test from 'ava';
import { createRandom } from '../random.ts';
import { type BackendName, startBackend } from './backend.ts';

const random = createRandom(7);
const numbers = (shape: readonly number[]): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * random() - 1);

/** Values of what `compute` makes on each backend. */
async function onBoth(compute: () => tf.Tensor): Promise<Record<'wasm' | 'cpu', Float32Array>> {
  const on = async (only: BackendName) => {
    await startBackend({ only });
    return tf.tidy(() => Float32Array.from(compute().dataSync()));
  };
  return { wasm: await on('wasm'), cpu: await on('cpu') };
}

function relativeDifference({ wasm, cpu }: { wasm: Float32Array; cpu: Float32Array }): number {
  let most = wasm.length === cpu.length ? 0 : Number.POSITIVE_INFINITY;
  const unit = Math.max(...cpu.map(Math.abs));
  for (const [index, value] of wasm.entries()) {
    most = Math.max(most, Math.abs(value - (cpu[index] ?? Number.NaN)) / unit);
  }
  return most;
}

const cases: [number[], number[], number | [number, number], 'same' | 'valid'][] = [
  [[2, 8, 8, 1], [3, 3, 1, 4], 1, 'same'],
  [[3, 7, 5, 3], [3, 3, 3, 2], 1, 'valid'],
  [[2, 9, 6, 2], [3, 2, 2, 5], 2, 'same'],
  [[1, 6, 7, 2], [1, 4, 2, 3], [1, 2], 'valid'],
  [[2, 3, 3, 2], [5, 5, 2, 2], 1, 'same'],
];

for (const [x, kernel, strides, pad] of cases) {
  test.serial(`gradient of a convolution: ${[x, kernel, strides, pad].join(' ')}`, async (t) => {
    const [image, weights] = [numbers(x), numbers(kernel)];
    const both = await onBoth(() => {
      const input = tf.tensor4d(image, x as [number, number, number, number]);
      const filter = tf.tensor4d(weights, kernel as [number, number, number, number]);
      return tf.grad((w: tf.Tensor) =>
        tf.sum(tf.square(tf.conv2d(input, w as tf.Tensor4D, strides, pad))),
      )(filter);
    });
    t.true(relativeDifference(both) < 1e-5, `${relativeDifference(both)}`);
  });
}

test.serial('gradient of a gather: rows that come twice add up, others get nothing', async (t) => {
  const table = numbers([5, 3]);
  const both = await onBoth(() =>
    tf.grad((x: tf.Tensor) => tf.sum(tf.square(tf.gather(x, tf.tensor1d([4, 0, 4], 'int32')))))(
      tf.tensor2d(table, [5, 3]),
    ),
  );
  t.true(relativeDifference(both) < 1e-6);
  t.deepEqual([...both.wasm.subarray(3, 12)], new Array(9).fill(0));
});

test.serial('a segment below zero is dropped, as the operation says', async (t) => {
  await startBackend({ only: 'wasm' });
  const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
  const sums = tf.unsortedSegmentSum(x, tf.tensor1d([-1, 1], 'int32'), 2);
  t.deepEqual([...sums.dataSync()], [0, 0, 3, 4]);
});

test.serial('a backend that is not there is refused with the reason', async (t) => {
  await t.throwsAsync(startBackend({ only: 'tensorflow' }), { message: /tensorflow: not avail/ });
  const nativeModulePath = '/nowhere/tfjs-node';
  await t.throwsAsync(startBackend({ only: 'tensorflow', nativeModulePath }), {
    message: /Cannot find module/,
  });
  t.is(await startBackend({ nativeModulePath }), 'wasm');
});
