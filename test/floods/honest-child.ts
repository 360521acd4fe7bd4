// An honest client: first finds out how many calls a second there can be, then makes a fifth of
// them, evenly spread, whatever becomes of the ones before, and notes how each of them fared.

import type { Backend } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { answerParent } from './child-process.ts';
import { PATHS } from './echo-backend.ts';

const SHARE = 0.2;
const IN_FLIGHT = 16;
const TURN_MS = 4;
const CALL_MS = 20_000;
const MESSAGE = Buffer.alloc(80, 5);

let client: Backend | undefined;
let callsPerSecond = 0;

async function call(): Promise<void> {
  if (client === undefined) throw new Error('connect first');
  const { response } = await invokeUnary(client, PATHS.unary, MESSAGE, { timeoutMs: CALL_MS });
  if (!Buffer.from(response).equals(MESSAGE)) throw new Error('other bytes came back');
}

export interface HonestReport {
  readonly calls: number;
  readonly failed: number;
  readonly firstFailure: string | undefined;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

let latenciesMs: number[] = [];
let failures: string[] = [];
let startMs = 0;
let made = 0;
let timer: NodeJS.Timeout | undefined;
const pending = new Set<Promise<void>>();

/** As many as are due by now; each one's time counts from when it was due. */
function turn(): void {
  const due = Math.floor(((performance.now() - startMs) / 1000) * callsPerSecond);
  for (; made < due; made++) {
    const dueMs = startMs + (made * 1000) / callsPerSecond;
    const one = call()
      .then(
        () => void latenciesMs.push(performance.now() - dueMs),
        (thrown) => void failures.push(String(thrown)),
      )
      .finally(() => pending.delete(one));
    pending.add(one);
  }
}

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.floor(sorted.length * share)] ?? 0;

const questions = {
  connect({ address }: { address: string }): void {
    client = connectGrpc({
      address,
      methods: new Map([[PATHS.unary, 'unary']]),
      maxConnections: 1,
    });
  },
  /** Calls a second, with a few in flight all the time. */
  async capacity({ durationMs, most }: { durationMs: number; most: number }): Promise<number> {
    let calls = 0;
    const fromMs = performance.now();
    const loop = async (): Promise<void> => {
      while (performance.now() - fromMs < durationMs) {
        await call();
        calls += 1;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
    const perSecond = (calls * 1000) / (performance.now() - fromMs);
    callsPerSecond = Math.min(perSecond * SHARE, most);
    return perSecond;
  },
  start(): void {
    [latenciesMs, failures, made, startMs] = [[], [], 0, performance.now()];
    timer = setInterval(turn, TURN_MS);
  },
  async stop(): Promise<HonestReport> {
    clearInterval(timer);
    await Promise.all(pending);
    const sorted = latenciesMs.toSorted((a, b) => a - b);
    return {
      calls: sorted.length + failures.length,
      failed: failures.length,
      firstFailure: failures[0],
      p50Ms: at(sorted, 0.5),
      p99Ms: at(sorted, 0.99),
    };
  },
};
export type HonestQuestions = typeof questions;
answerParent(questions);
