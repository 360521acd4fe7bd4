// The engine's own worker, but a run whose first value is 66, or a model whose first dimension is
// 66, ends the thread: what a bug in native code that exits, or no memory left, looks like from
// outside.
import { createRequire } from 'node:module';

// Before ONNX Runtime is loaded here, as the worker itself does it.
Reflect.deleteProperty(globalThis, 'Float16Array');
const FATAL_VALUE = 66;

type Feeds = Record<string, { readonly data: ArrayLike<number | bigint> }>;

declare class NativeSession {
  readonly inputMetadata: readonly { readonly shape?: readonly number[] }[];
  loadModel(...given: unknown[]): void;
  run(feeds: Feeds, ...more: unknown[]): unknown;
}
// The public API runs by the same native object.
const inside = createRequire(import.meta.url)('onnxruntime-node/dist/binding.js') as {
  readonly binding: { InferenceSession: typeof NativeSession };
};

inside.binding.InferenceSession = class extends inside.binding.InferenceSession {
  override run(feeds: Feeds, ...more: unknown[]): unknown {
    if (Number(Object.values(feeds)[0]?.data[0]) === FATAL_VALUE) process.exit(3);
    return super.run(feeds, ...more);
  }

  override loadModel(...given: unknown[]): void {
    super.loadModel(...given);
    if (this.inputMetadata[0]?.shape?.[0] === FATAL_VALUE) process.exit(3);
  }
};

await import('../../server/engines/onnx/worker.ts');
