// Programs of others that tests use when they are there: scripts/ci-setup installs them.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const CACHE = process.env.TORUS_TEST_CACHE ?? join(homedir(), '.cache', 'torus-test');

/** The path of a tool that ci-setup installed, 'python/bin/python' or 'bin/grpcurl'. */
export function outsideTool(path: string): string | undefined {
  const full = join(CACHE, path);
  return existsSync(full) ? full : undefined;
}

export interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end, standard output and error together. */
export function runTool(program: string, args: readonly string[], timeoutMs: number): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    let output = '';
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}
