// The child process of verify.ts: is sent one model to inspect, sends back what it found. The
// parent ends it.
import { Worker } from 'node:worker_threads';
import { Code, type StatusError, statusOf } from '../../common/status.ts';
import { type Inspection, type InspectRequest, inspectModel } from './inspect.ts';
import type { MemoryWatch } from './memory-watch.ts';

export interface ChildRequest extends InspectRequest, MemoryWatch {}

export type ChildAnswer =
  | { readonly inspection: Inspection }
  | { readonly error: { readonly code: StatusError['code']; readonly message: string } };

async function answer(request: ChildRequest): Promise<ChildAnswer> {
  const { maxMemoryBytes } = request;
  const workerData: MemoryWatch = { maxMemoryBytes };
  new Worker(new URL('./memory-watch.ts', import.meta.url), { workerData });
  try {
    return { inspection: await inspectModel(request) };
  } catch (thrown) {
    const { code, message } = statusOf(thrown, Code.INVALID_ARGUMENT);
    return { error: { code, message } };
  }
}

// Whoever stops the whole of Torus may send this to all of its processes: the parent says when.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {});
process.on('disconnect', () => process.exit(1));
process.once('message', (request: ChildRequest) => {
  void answer(request).then((found) => process.send?.(found));
});
