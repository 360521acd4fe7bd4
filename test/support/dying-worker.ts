// The engine's own worker, but a run whose first value is 66, or a model whose first dimension is
// 66, ends the thread: what a bug in native code that exits, or no memory left, looks like from
// outside.
import { createRequire } from 'node:module';

// Before ONNX Runtime is loaded here, as the worker itself does it.
Reflect.deleteProperty(globalThis, 'Float16Array');
const FATAL_VALUE = 66;
type Ort = typeof import('onnxruntime-node');
const ort = createRequire(import.meta.url)('onnxruntime-node') as Ort;

interface Runs {
  run(
    feeds: Record<string, { readonly data: ArrayLike<number | bigint> }>,
    options: object,
  ): unknown;
}
const { prototype } = ort.InferenceSession as unknown as { readonly prototype: Runs };
const run = prototype.run;
prototype.run = function (feeds, options) {
  if (Number(Object.values(feeds)[0]?.data[0]) === FATAL_VALUE) process.exit(3);
  return run.call(this, feeds, options);
};

const { create } = ort.InferenceSession;
Object.defineProperty(ort.InferenceSession, 'create', {
  value: async (...given: Parameters<typeof create>) => {
    const session = await create(...given);
    const first = session.inputMetadata[0];
    if (first?.isTensor === true && first.shape[0] === FATAL_VALUE) process.exit(3);
    return session;
  },
});

await import('../../server/engines/onnx/worker.ts');
