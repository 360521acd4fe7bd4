// h2load (nghttp2) as the closed-loop client: an outside one, and cheap enough that the server is
// what is measured. It looks at HTTP only, so whoever uses it checks answers and counts besides.
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Code, StatusError, unavailable } from '../../common/status.ts';

const TIMEOUT_MS = 120_000;
const OUTPUT_BYTES = 1_048_576;
const PREFIX_BYTES = 5;

export interface H2loadOptions {
  readonly port: number;
  readonly path: string;
  /** gRPC message with its prefix, in a file. */
  readonly bodyFile: string;
  readonly calls: number;
  readonly connections: number;
  /** In flight on each connection. */
  readonly streams: number;
  readonly core: number;
  readonly isTls: boolean;
  /** Given: each call's latency goes through this file, for percentiles. */
  readonly logFile?: string;
}

export interface H2loadReport {
  readonly succeeded: number;
  readonly seconds: number;
  readonly meanUs: number;
  /** Empty without a log file; ascending. */
  readonly latenciesUs: readonly number[];
  readonly tlsVersion: string | undefined;
}

/** The body of a gRPC request as a file for h2load. */
export async function writeBody(folder: string, name: string, message: Uint8Array) {
  const body = Buffer.alloc(PREFIX_BYTES + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, PREFIX_BYTES);
  const file = join(folder, `${name}.body`);
  await writeFile(file, body);
  return file;
}

/** @throws UNAVAILABLE when it can't run, INTERNAL when not every call got HTTP 200. */
export async function runH2load(options: H2loadOptions): Promise<H2loadReport> {
  const { calls, logFile } = options;
  const text = await execute(argumentsOf(options));
  const report = parseReport(text);
  if (report.succeeded !== calls) {
    throw new StatusError(
      Code.INTERNAL,
      `h2load: ${report.succeeded} of ${calls} calls came back\n${text}`,
    );
  }
  if (logFile === undefined) return report;
  const lines = (await readFile(logFile, 'utf8')).trim().split('\n');
  await rm(logFile, { force: true });
  const latencies = Float64Array.from(lines, (line) => Number(line.split('\t')[2]));
  return { ...report, latenciesUs: [...latencies.sort()] };
}

function argumentsOf(options: H2loadOptions): string[] {
  const { calls, connections, streams, core, port, path } = options;
  const args = ['-c', String(core), 'h2load', '-n', String(calls), '-c', String(connections)];
  args.push('-m', String(streams), '-d', options.bodyFile);
  args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers');
  if (options.logFile !== undefined) args.push(`--log-file=${options.logFile}`);
  args.push(`${options.isTls ? 'https' : 'http'}://127.0.0.1:${port}${path}`);
  return args;
}

function execute(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const limits = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES };
    execFile('taskset', args, limits, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(unavailable(`h2load: ${error.message}\n${stdout}${stderr}`));
    });
  });
}

const UNIT_US: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000 };

function durationUs(text: string | undefined): number {
  const found = /^([\d.]+)(us|ms|s)$/.exec(text ?? '');
  return found === null ? Number.NaN : Number(found[1]) * (UNIT_US[found[2] ?? ''] ?? Number.NaN);
}

/** The figures of its report; NaN for what is not there. */
export function parseReport(text: string): H2loadReport {
  const finished = /^finished in (\S+),/m.exec(text);
  const ok = /^status codes: (\d+) 2xx/m.exec(text);
  const times = /^time for request:\s+(\S+)\s+(\S+)\s+(\S+)/m.exec(text);
  const tls = /^TLS Protocol: (\S+)/m.exec(text);
  const requests = /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text);
  const [succeeded = '0', ...bad] = requests?.slice(1) ?? [];
  const isWhole = bad.length > 0 && bad.every((count) => count === '0');
  return {
    succeeded: isWhole && ok?.[1] === succeeded ? Number(succeeded) : 0,
    seconds: durationUs(finished?.[1]) / 1_000_000,
    meanUs: durationUs(times?.[3]),
    latenciesUs: [],
    tlsVersion: tls?.[1],
  };
}

/** Of ascending values. */
export function percentile(ascending: readonly number[], part: number): number {
  const at = Math.min(ascending.length - 1, Math.floor(ascending.length * part));
  return ascending[at] ?? Number.NaN;
}
