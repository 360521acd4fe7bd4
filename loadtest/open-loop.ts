// Open-loop load from a process of its own: calls at random moments (a Poisson process) at a rate,
// whatever comes back; latency counts from the moment a call was meant to be sent. It looks at the
// clock all the time rather than sleep, since timers are coarser than a call: give it a core. What
// is due in one turn leaves in one write. How late it sends is recorded apart from the answers.
// Where others need its core too ("shared") it lets go of it between calls, and is later for that.
// open-loop.ts PORT PATH BODY-FILE RATE SECONDS CONNECTIONS WARM-UP-RATE WARM-UP-SECONDS [shared]
// Prints its report as one line of JSON.
import { readFile } from 'node:fs/promises';
import { gapMs } from './generator.ts';
import { openLeanClient } from './lean-client.ts';
import { type Report, Tally } from './report.ts';

/** Behind the end: what is not sent by then is counted as dropped, what has no answer as lost. */
const PATIENCE_MS = 10_000;
/** Sent in one go at most: answers have to be read in between. */
const MAX_BURST = 256;
/** Answers are read behind it. The system adds some 0.06 ms (prctl(2), timer slack). */
const LONGEST_PAUSE_MS = 0.1;

export interface OpenLoopReport extends Report {
  /** How late calls were sent: what the generator itself adds. */
  readonly lateUs: Report['latencyUs'];
  /** Without an answer to the end. */
  readonly lost: number;
  readonly warmUpOk: number;
}

const [
  port = '',
  path = '',
  bodyFile = '',
  rate = '',
  seconds = '',
  connections = '',
  warmUpRate = '',
  warmUpSeconds = '',
  core = '',
] = process.argv.slice(2);

/** Nobody wakes it: what waits for it sleeps. */
const sleeper = new Int32Array(new SharedArrayBuffer(4));

let tally = new Tally();
let outstanding = 0;

const client = await openLeanClient({
  port: Number(port),
  path,
  body: await readFile(bodyFile),
  connections: Number(connections),
  onAnswer(code, intendedMs) {
    outstanding -= 1;
    tally.answered(code, performance.now() - intendedMs);
  },
});

function run(
  callsPerSecond: number,
  forSeconds: number,
): Promise<Omit<OpenLoopReport, 'warmUpOk'>> {
  tally = new Tally();
  const lateness = new Tally();
  const durationMs = forSeconds * 1_000;
  const endMs = performance.now() + durationMs;
  const gap = (): number => gapMs('poisson', callsPerSecond, Math.random);
  let dueMs = performance.now() + gap();
  return new Promise((resolve) => {
    const turn = (): void => {
      const nowMs = performance.now();
      for (let burst = 0; burst < MAX_BURST && dueMs <= nowMs && dueMs < endMs; burst += 1) {
        // Without a free stream the call waits here, and its latency runs.
        if (!client.send(dueMs)) break;
        outstanding += 1;
        tally.sent();
        lateness.answered(0, nowMs - dueMs);
        dueMs += gap();
      }
      client.flush();
      const pauseMs = Math.min(LONGEST_PAUSE_MS, dueMs - performance.now());
      if (core === 'shared' && pauseMs > 0) Atomics.wait(sleeper, 0, 0, pauseMs);
      const isAnswered = dueMs >= endMs && outstanding === 0;
      if (!isAnswered && nowMs < endMs + PATIENCE_MS) return void setImmediate(turn);
      for (; dueMs < endMs; dueMs += gap()) tally.dropped();
      const lateUs = lateness.report(durationMs).latencyUs;
      resolve({ ...tally.report(durationMs), lateUs, lost: outstanding });
    };
    turn();
  });
}

const { ok: warmUpOk } = await run(Number(warmUpRate), Number(warmUpSeconds));
console.log(JSON.stringify({ ...(await run(Number(rate), Number(seconds))), warmUpOk }));
client.close();
