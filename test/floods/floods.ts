// npm run floods [-- --only NAME] [--rounds N]: each attack in interleaved rounds on a sink and on
// the server, beside an honest client at a fifth of what it could do. Promised: 99.9% of its calls
// are answered, its p99 is at most five times that of the rounds on the sink, and every attacker is
// cut off within a second. Prints a table; the exit code tells.
import { parseArgs } from 'node:util';
import { attacks } from './attacks.ts';
import { FloodField, type Phase, type ServerPhase } from './flood-run.ts';

const ROUND_MS = 3_000;
const DEFAULT_ROUNDS = 3;
const LEAST_OK = 0.999;
const MOST_P99_RATIO = 5;
/** Below this a p99 is the machine's own noise, and no ratio is taken of it. */
const NOISE_MS = 2;
const CUT_OFF_MS = 1_000;
const MIB = 1024 * 1024;

const { values } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string', default: `${DEFAULT_ROUNDS}` } },
});

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

interface Verdict {
  readonly columns: readonly string[];
  readonly broken: readonly string[];
}

function judge(name: string, onSink: readonly Phase[], onServer: readonly ServerPhase[]): Verdict {
  const calls = onServer.reduce((sum, { honest }) => sum + honest.calls, 0);
  const failed = onServer.reduce((sum, { honest }) => sum + honest.failed, 0);
  const ok = calls === 0 ? 0 : 1 - failed / calls;
  const p99 = (phases: readonly Phase[]) => median(phases.map(({ honest }) => honest.p99Ms));
  const [sinkMs, serverMs] = [p99(onSink), p99(onServer)];
  const ratio = Math.max(serverMs, NOISE_MS) / Math.max(sinkMs, NOISE_MS);
  const cutOff = onServer.reduce((sum, { attack }) => sum + attack.cutOff, 0);
  const longestMs = median(onServer.map(({ attack }) => attack.longestMs));
  const peakMib = Math.max(...onServer.map(({ peakRssBytes }) => peakRssBytes)) / MIB;
  const left = onServer.find((phase) => phase.left !== undefined)?.left;
  const crossed = [...new Set(onServer.flatMap((phase) => Object.keys(phase.crossed)))].join(',');
  const broken: string[] = [];
  if (ok < LEAST_OK) {
    const why = onServer.find(({ honest }) => honest.failed > 0)?.honest.firstFailure;
    broken.push(`${failed} of ${calls} honest calls failed: ${why}`);
  }
  if (ratio > MOST_P99_RATIO) broken.push(`p99 is ${ratio.toFixed(1)} times that of the sink`);
  if (cutOff === 0 || longestMs > CUT_OFF_MS) broken.push('attackers are not cut off in time');
  if (left !== undefined) broken.push(`left behind: ${left}`);
  const columns = [
    name.padEnd(17),
    `${(ok * 100).toFixed(2)}%`.padStart(8),
    sinkMs.toFixed(2).padStart(9),
    serverMs.toFixed(2).padStart(9),
    ratio.toFixed(1).padStart(6),
    String(cutOff).padStart(8),
    longestMs.toFixed(0).padStart(8),
    peakMib.toFixed(0).padStart(9),
    `  ${crossed}`,
  ];
  return { columns, broken };
}

const field = new FloodField();
try {
  const perSecond = await field.begin();
  console.log(`honest: ${Math.round(perSecond * 0.2)} calls/s, of ${Math.round(perSecond)}\n`);
  console.log(
    'attack                  ok  sink p99      p99 ratio  cut off  longest  peak RSS  limits',
  );
  let isBroken = false;
  for (const { name } of attacks()) {
    if (values.only !== undefined && name !== values.only) continue;
    const [onSink, onServer]: [Phase[], ServerPhase[]] = [[], []];
    for (let round = 0; round < Number(values.rounds); round++) {
      onSink.push(await field.onSink(name, ROUND_MS));
      onServer.push(await field.onServer(name, ROUND_MS));
    }
    const { columns, broken } = judge(name, onSink, onServer);
    console.log(columns.join(''));
    for (const what of broken) console.log(`  BROKEN: ${what}`);
    isBroken ||= broken.length > 0;
  }
  process.exitCode = isBroken ? 1 : 0;
} finally {
  await field.end();
}
