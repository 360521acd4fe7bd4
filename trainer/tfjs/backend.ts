// Which TensorFlow.js backend computes: the native one where it was installed, else wasm, else
// plain JavaScript. All give the same model to rounding; they differ in speed.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
// Registers the gradients of all operations, which tfjs-core alone lacks in its Node bundle.
import '@tensorflow/tfjs-layers';
import { failedPrecondition } from '../../common/status.ts';
import { registerWasmGradients } from './kernels.ts';

const BACKENDS = ['tensorflow', 'wasm', 'cpu'] as const;
export type BackendName = (typeof BACKENDS)[number];

const require = createRequire(import.meta.url);

export interface BackendOptions {
  /** The module that registers the native backend when loaded; absent: not installed. */
  readonly nativeModulePath?: string | undefined;
  /** Only this one; absent: the fastest that works. */
  readonly only?: BackendName | undefined;
}

/** @throws FAILED_PRECONDITION when the one that was asked for doesn't work here. */
export async function startBackend(options: BackendOptions = {}): Promise<BackendName> {
  // Else a welcome and warnings go to stderr, where only errors are looked for.
  tf.enableProdMode();
  const wanted = options.only === undefined ? BACKENDS : [options.only];
  const reasons: string[] = [];
  for (const name of wanted) {
    try {
      if (await tryBackend(name, options)) return name;
      reasons.push(`${name}: not available`);
    } catch (error) {
      reasons.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw failedPrecondition(`no TensorFlow.js backend works here (${reasons.join('; ')})`);
}

async function tryBackend(name: BackendName, options: BackendOptions): Promise<boolean> {
  if (name === 'tensorflow') {
    if (options.nativeModulePath === undefined) return false;
    require(options.nativeModulePath);
  }
  if (name === 'wasm') {
    const main = require.resolve('@tensorflow/tfjs-backend-wasm');
    setWasmPaths(`${dirname(main)}/`);
    registerWasmGradients();
  }
  const isSet = await tf.setBackend(name);
  if (isSet) await tf.ready();
  return isSet && tf.getBackend() === name;
}
