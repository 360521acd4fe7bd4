// The native TensorFlow.js backend, where it was installed: it can't be a dependency, since its own
// install downloads from elsewhere and fails on a current Node.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Loading it registers the native backend; written last by an install, so it is there when whole. */
const ENTRY_FILE = 'tfjs-node.cjs';

/** The module to load for the native backend; undefined when it is not installed in `directory`. */
export function findTfjsNode(directory: string | undefined): string | undefined {
  if (directory === undefined) return undefined;
  const entry = join(directory, ENTRY_FILE);
  return existsSync(entry) ? entry : undefined;
}
