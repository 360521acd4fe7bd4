// Open-loop load from a process of its own: calls at random moments (a Poisson process) at a rate,
// whatever comes back; latency counts from the moment a call was meant to be sent. It looks at the
// clock all the time rather than sleep, since timers are coarser than a call: give it a core.
// open-loop.ts PORT PATH BODY-FILE RATE SECONDS CONNECTIONS; prints one line of JSON: its report.
import { readFile } from 'node:fs/promises';
import { codeName } from '../common/status.ts';
import { gapMs } from './generator.ts';
import { openLeanClient } from './lean-client.ts';
import { Tally } from './report.ts';

/** More without an answer are not sent, and counted as dropped. */
const MAX_OUTSTANDING = 50_000;
/** When nothing comes back any more. */
const PATIENCE_MS = 10_000;
/** Sent in one go at most: answers have to be read in between. */
const MAX_BURST = 256;

const [port = '', path = '', bodyFile = '', rate = '', seconds = '', connections = ''] =
  process.argv.slice(2);
const ratePerSecond = Number(rate);
const durationMs = Number(seconds) * 1_000;
const tally = new Tally();
/** How late calls were sent: what the generator itself adds. */
const lateness = new Tally();
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

const startMs = performance.now();
const endMs = startMs + durationMs;
const gap = (): number => gapMs('poisson', ratePerSecond, Math.random);
let dueMs = startMs + gap();

function turn(): void {
  const nowMs = performance.now();
  for (let burst = 0; burst < MAX_BURST && dueMs <= nowMs && dueMs < endMs; burst += 1) {
    if (outstanding < MAX_OUTSTANDING && client.send(dueMs)) {
      outstanding += 1;
      tally.sent();
      lateness.answered(0, nowMs - dueMs);
    } else tally.dropped();
    dueMs += gap();
  }
  client.flush();
  const isSent = dueMs >= endMs;
  if (isSent && (outstanding === 0 || nowMs > endMs + PATIENCE_MS)) finish();
  else setImmediate(turn);
}

function finish(): void {
  const report = tally.report(durationMs);
  const lost = outstanding === 0 ? {} : { [codeName(4)]: outstanding };
  const failed = { ...report.failed, ...lost };
  const late = lateness.report(durationMs).latencyUs;
  console.log(JSON.stringify({ ...report, failed, lateUs: late }));
  client.close();
}

turn();
