import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import type { TableBytes } from './table-bytes.ts';

const MOST_BYTES = 200;
const PROGRAM = fileURLToPath(new URL('./table-bytes.ts', import.meta.url));

test("a router's table of 100,000 models takes at most 200 bytes for each", async (t) => {
  const args = ['--expose-gc', PROGRAM, '100000', '1000'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const told: TableBytes = JSON.parse(stdout);
  t.log(stdout.trim());
  t.true(told.copies >= 1.15 * told.models, stdout);
  t.true(told.heapBytes + told.externalBytes <= MOST_BYTES, stdout);
});
