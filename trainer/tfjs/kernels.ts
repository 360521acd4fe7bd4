// Two gradients that TensorFlow.js's wasm backend lacks: of a convolution's kernel, and of a
// gather. Without them convolutional networks train on the plain JavaScript backend only, 60 times
// slower.
import * as tf from '@tensorflow/tfjs-core';
import { Code, StatusError } from '../../common/status.ts';

type TypedArray = Float32Array | Int32Array;

/** The part of the wasm backend that kernels work with; its class is not exported by name. */
interface WasmMemory {
  makeOutput(shape: readonly number[], dtype: tf.DataType): tf.TensorInfo;
  /** A view into wasm memory, valid until the next makeOutput (which may grow that memory). */
  typedArrayFromHeap(tensor: tf.TensorInfo): TypedArray;
  disposeData(dataId: object): unknown;
}

/** May be called more than once in a process. */
export function registerWasmGradients(): void {
  const missing: [string, tf.KernelFunc][] = [
    ['Conv2DBackpropFilter', convKernelGradient],
    ['UnsortedSegmentSum', unsortedSegmentSum],
  ];
  for (const [kernelName, kernelFunc] of missing) {
    if (tf.getKernel(kernelName, 'wasm') === undefined) {
      tf.registerKernel({ kernelName, backendName: 'wasm', kernelFunc });
    }
  }
}

function memoryOf(backend: unknown): WasmMemory {
  return backend as WasmMemory;
}

function tensor(inputs: tf.NamedTensorInfoMap, name: string): tf.TensorInfo {
  const found = inputs[name];
  if (found === undefined) throw new StatusError(Code.INTERNAL, `kernel input '${name}' is absent`);
  return found;
}

/** Sum of the rows of x by segment: y[segmentIds[i]] += x[i]. */
const unsortedSegmentSum: tf.KernelFunc = ({ inputs, attrs, backend }) => {
  const memory = memoryOf(backend);
  const x = tensor(inputs, 'x');
  const segmentIds = tensor(inputs, 'segmentIds');
  const { numSegments } = attrs as unknown as tf.UnsortedSegmentSumAttrs;
  const tail = x.shape.slice(segmentIds.shape.length);
  const width = tail.reduce((product, dim) => product * dim, 1);
  const output = memory.makeOutput([numSegments, ...tail], x.dtype);
  const sums = memory.typedArrayFromHeap(output).fill(0);
  const values = memory.typedArrayFromHeap(x);
  const ids = memory.typedArrayFromHeap(segmentIds);
  for (let row = 0; row < ids.length; row++) {
    const segment = ids[row] ?? -1;
    if (segment < 0) continue;
    for (let column = 0; column < width; column++) {
      const at = segment * width + column;
      sums[at] = (sums[at] ?? 0) + (values[row * width + column] ?? 0);
    }
  }
  return output;
};

/** Patches of x as rows of a matrix, transposed times dy: [kernel numbers, filters]. */
const convKernelGradient: tf.KernelFunc = ({ inputs, attrs, backend }) => {
  const memory = memoryOf(backend);
  const x = tensor(inputs, 'x');
  const dy = tensor(inputs, 'dy');
  const { filterShape, strides, pad, dimRoundingMode } =
    attrs as unknown as tf.Conv2DBackpropFilterAttrs;
  const info = tf.backend_util.computeConv2DInfo(
    x.shape as [number, number, number, number],
    filterShape,
    strides,
    1,
    pad,
    dimRoundingMode,
    false,
  );
  const positions = info.batchSize * info.outHeight * info.outWidth;
  const patchSize = info.filterHeight * info.filterWidth * info.inChannels;
  const patches = memory.makeOutput([positions, patchSize], 'float32');
  copyPatches(memory.typedArrayFromHeap(x), memory.typedArrayFromHeap(patches).fill(0), info);
  const matMul = tf.getKernel('BatchMatMul', 'wasm');
  if (matMul === undefined) throw new StatusError(Code.INTERNAL, 'wasm backend lacks BatchMatMul');
  const view = ({ dataId }: tf.TensorInfo, shape: number[]): tf.TensorInfo => ({
    dataId,
    shape,
    dtype: 'float32',
  });
  const product = matMul.kernelFunc({
    inputs: {
      a: view(patches, [1, positions, patchSize]),
      b: view(dy, [1, positions, info.outChannels]),
    },
    attrs: { transposeA: true, transposeB: false },
    backend,
  });
  memory.disposeData(patches.dataId);
  const [gradient] = Array.isArray(product) ? product : [product];
  if (gradient === undefined) throw new StatusError(Code.INTERNAL, 'BatchMatMul gave nothing');
  return view(gradient, [...filterShape]);
};

/** im2col: for each output position the numbers under the kernel; what is outside stays 0. */
function copyPatches(x: TypedArray, patches: TypedArray, info: tf.backend_util.Conv2DInfo): void {
  const { inHeight, inWidth, inChannels, filterHeight, filterWidth } = info;
  const patchSize = filterHeight * filterWidth * inChannels;
  let to = 0;
  for (let image = 0; image < info.batchSize; image++) {
    for (let outY = 0; outY < info.outHeight; outY++) {
      const top = outY * info.strideHeight - info.padInfo.top;
      for (let outX = 0; outX < info.outWidth; outX++, to += patchSize) {
        const left = outX * info.strideWidth - info.padInfo.left;
        const first = Math.max(0, -left);
        const end = Math.min(filterWidth, inWidth - left);
        if (end <= first) continue;
        for (let kernelY = 0; kernelY < filterHeight; kernelY++) {
          const y = top + kernelY;
          if (y < 0 || y >= inHeight) continue;
          const from = ((image * inHeight + y) * inWidth + left + first) * inChannels;
          const start = to + (kernelY * filterWidth + first) * inChannels;
          const count = (end - first) * inChannels;
          for (let index = 0; index < count; index++) {
            patches[start + index] = x[from + index] ?? 0;
          }
        }
      }
    }
  }
}
