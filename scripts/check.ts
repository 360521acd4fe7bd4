// npm run check: types, lint and format, tidiness; one line each when all is well.
import { spawnSync } from 'node:child_process';

const STEPS: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'node_modules/.bin/tsc', '--noEmit'],
  ['lint and format', 'node_modules/.bin/biome', 'check', '--diagnostic-level=warn', '.'],
  ['tidy', 'node_modules/.bin/ava', 'test/tidy.test.ts'],
];

let failed = 0;
for (const [name, command, ...args] of STEPS) {
  const startMs = Date.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  const seconds = ((Date.now() - startMs) / 1000).toFixed(1);
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
  if (status === 0) continue;
  failed += 1;
  console.log(`${stdout}${stderr}`);
}
process.exitCode = failed === 0 ? 0 : 1;
