// Runs h2spec against a port and reads its JUnit report.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from '../support/outside-tools.ts';

const RUN_MS = 300_000;
/** Seconds that h2spec waits for an answer. */
const ANSWER_S = 4;

export interface H2specResult {
  readonly passed: number;
  readonly skipped: readonly string[];
  readonly failed: readonly string[];
}

/** `package` is the section, `classname` says what the case wants. */
const CASE = /<testcase\s([^>]*?)(?:\/>|>((?:.|\n)*?)<\/testcase>)/g;

function attribute(text: string, name: string): string {
  return new RegExp(`${name}="([^"]*)"`).exec(text)?.[1] ?? '';
}

/** @param report h2spec's JUnit file. */
export function readReport(report: string): H2specResult {
  const [skipped, failed]: string[][] = [[], []];
  let passed = 0;
  for (const [, head = '', body = ''] of report.matchAll(CASE)) {
    const name = `${attribute(head, 'package')}: ${attribute(head, 'classname')}`;
    if (/<(failure|error)/.test(body)) failed?.push(name);
    else if (/<skipped/.test(body)) skipped?.push(name);
    else passed += 1;
  }
  return { passed, skipped: skipped ?? [], failed: failed ?? [] };
}

export interface H2specOptions {
  readonly program: string;
  readonly port: number;
  /** A path that h2spec's plain requests ask for. */
  readonly path: string;
  readonly isStrict: boolean;
  readonly isTls: boolean;
  /** Sections to run; all without. */
  readonly sections?: readonly string[];
}

/** @throws Error when h2spec could not run at all. */
export async function runH2spec(options: H2specOptions): Promise<H2specResult> {
  const folder = mkdtempSync(join(tmpdir(), 'torus-h2spec-'));
  try {
    const report = join(folder, 'report.xml');
    const args = ['-h', '127.0.0.1', '-p', String(options.port), '-P', options.path];
    args.push('-o', String(ANSWER_S), '-j', report);
    if (options.isStrict) args.push('-S');
    if (options.isTls) args.push('-t', '-k');
    args.push(...(options.sections ?? []));
    const { output } = await runTool(options.program, args, RUN_MS);
    const result = readReport(readFileSync(report, 'utf8'));
    if (result.passed + result.failed.length === 0)
      throw new Error(`h2spec ran nothing: ${output}`);
    return result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
