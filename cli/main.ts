#!/usr/bin/env node
// Where `torus` begins. Hardly anything is loaded here: a server may have to start itself anew.
import '../common/no-telemetry.ts';
import { isServer } from './servers.ts';
import { startLean } from './up/lean-process.ts';

/** Runs a command line (without node and script). Sets process.exitCode; does not exit. */
export async function run(args: readonly string[]): Promise<void> {
  if (isServer(args[0])) startLean(import.meta.filename, args);
  const { runProgram } = await import('./program.ts');
  await runProgram(args);
}

if (import.meta.main) await run(process.argv.slice(2));
