// A thread that ends its own process when that takes too much memory. It runs beside a main thread
// that is inside native code and can't look; SIGKILL, because nothing gentler works there.
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

export interface MemoryWatch {
  readonly maxMemoryBytes: number;
}

/** On stderr, last, when the process ends for this reason. */
export const OUT_OF_MEMORY_LINE = 'torus: memory limit reached';
const LOOK_MS = 20;
const STDERR = 2;

// Null, or somebody else's, where only the names above are wanted.
const watch = workerData as MemoryWatch | null;
if (watch?.maxMemoryBytes !== undefined) {
  setInterval(() => {
    if (process.memoryUsage.rss() <= watch.maxMemoryBytes) return;
    writeSync(STDERR, `${OUT_OF_MEMORY_LINE}\n`);
    process.kill(process.pid, 'SIGKILL');
  }, LOOK_MS);
}
