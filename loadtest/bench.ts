// npm run bench: our node against a bare @grpc/grpc-js echo in the same run, round by round in
// turn, so that their ratio holds on a noisy machine. Prints the table and writes
// docs/performance.md.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { type Round, ratios, spread, spreadText } from './comparison.ts';
import { type Contender, startContender } from './contender.ts';
import { runClosedLoop } from './generator.ts';
import { openLoadClient } from './grpc-client.ts';
import { tinyMlpRequest, writeTinyRepository } from './tiny-mlp.ts';

const ROUNDS = 7;
const ROUND_MS = 1_000;
const WARM_UP_MS = 500;
const MAX_CALLS = 1_000_000;
const CONNECTIONS = 4;
const CALLS_IN_FLIGHT = [1, 16, 64];
const CALL_DEADLINE_MS = 10_000;

interface Side {
  readonly contender: Contender;
  readonly path: string;
  readonly rounds: Map<number, Round[]>;
}

async function measure(side: Side, inFlight: number, durationMs: number): Promise<Round> {
  const { contender, path } = side;
  const address = `127.0.0.1:${contender.port}`;
  const client = openLoadClient({ address, connections: Math.min(CONNECTIONS, inFlight) });
  const request = tinyMlpRequest();
  const cpuBefore = await contender.cpuMs();
  const report = await runClosedLoop({
    send: (done) => client.call(path, request, CALL_DEADLINE_MS, done),
    concurrency: inFlight,
    durationMs,
    maxCalls: MAX_CALLS,
    clock: systemClock,
  });
  const cpuAfter = await contender.cpuMs();
  client.close();
  if (report.ok !== report.sent) {
    throw new Error(`${contender.name}: ${JSON.stringify(report.failed)} of ${report.sent} calls`);
  }
  const cpuMs =
    cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore;
  return {
    okPerSecond: report.okPerSecond,
    p50Us: report.latencyUs.p50,
    p99Us: report.latencyUs.p99,
    cpuUsPerCall: cpuMs === undefined ? undefined : (cpuMs * 1_000) / report.ok,
  };
}

async function runRounds(sides: readonly Side[]): Promise<void> {
  for (const inFlight of CALLS_IN_FLIGHT) {
    for (const side of sides) await measure(side, inFlight, WARM_UP_MS);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const side of sides) {
        const rounds = side.rounds.get(inFlight) ?? [];
        rounds.push(await measure(side, inFlight, ROUND_MS));
        side.rounds.set(inFlight, rounds);
      }
    }
  }
}

function tableOf(ours: Side, theirs: Side): string[] {
  const lines = [
    '| calls in flight | node: calls/s | echo: calls/s | rate, node / echo | p50, node / echo | ' +
      'p99, node / echo | CPU a call, node / echo |',
    '|---|---|---|---|---|---|---|',
  ];
  for (const inFlight of CALLS_IN_FLIGHT) {
    const [a, b] = [ours.rounds.get(inFlight) ?? [], theirs.rounds.get(inFlight) ?? []];
    const rate = (rounds: readonly Round[]): string =>
      String(Math.round(spread(rounds.map((round) => round.okPerSecond)).median));
    const figures: ((round: Round) => number | undefined)[] = [
      (round) => round.okPerSecond,
      (round) => round.p50Us,
      (round) => round.p99Us,
      (round) => round.cpuUsPerCall,
    ];
    const cells = figures.map((figure) => spreadText(ratios(a, b, figure)));
    lines.push(`| ${[inFlight, rate(a), rate(b), ...cells].join(' | ')} |`);
  }
  return lines;
}

function pageOf(table: readonly string[]): string {
  const cpu = cpus();
  const rounds = `${ROUNDS} rounds of ${ROUND_MS / 1_000} s each, in turn`;
  return `# Performance

Written by \`npm run bench\`. Ratios of two servers in one run hold from machine to machine;
absolute figures do not.

## One node against a bare echo

Both are one process on @grpc/grpc-js. *echo* sends the request's bytes back. *node* decodes and
checks a ModelInfer request of 16 floats, batches it dynamically, runs a real 16-32-4 perceptron
in ONNX Runtime in a worker thread, and encodes the answer. So the ratio is what serving a small
model costs beside the transport. ${rounds}; median (least-most) of the rounds' ratios.
Client: @grpc/grpc-js on ${CONNECTIONS} connections (1 for one call in flight), in a process of
its own on the same machine.

${table.join('\n')}

Machine: ${cpu.length} cores, ${cpu[0]?.model.trim() ?? 'unknown'}; Node ${process.versions.node}.
`;
}

const folder = await mkdtemp(join(tmpdir(), 'torus-bench-'));
const started: Contender[] = [];
try {
  await writeTinyRepository(folder);
  const echo = await startContender('echo', 'rivals/grpcjs-echo.ts');
  started.push(echo);
  const node = await startContender('node', 'lone-node.ts', [folder]);
  started.push(node);
  const theirs: Side = { contender: echo, path: '/bench.Echo/Echo', rounds: new Map() };
  const path = '/inference.GRPCInferenceService/ModelInfer';
  const ours: Side = { contender: node, path, rounds: new Map() };
  await runRounds([theirs, ours]);
  const table = tableOf(ours, theirs);
  for (const line of table) console.log(line);
  await writeFile(new URL('../docs/performance.md', import.meta.url), pageOf(table));
  console.log('written: docs/performance.md');
} finally {
  for (const contender of started) await contender.stop();
  await rm(folder, { recursive: true, force: true });
}
