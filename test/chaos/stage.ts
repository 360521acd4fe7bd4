// Runs faults one after the other: clusters that several of them can use are kept while they become
// whole again, loads are given their rate, and everything is ended.

import { systemClock } from '../../common/clock.ts';
import { statusOf } from '../../common/status.ts';
import { runClosedLoop } from '../../loadtest/generator.ts';
import { checkedRequest, wrongIn } from './checked-model.ts';
import { ChaosCluster, type ClusterOptions, USUAL_CLUSTER } from './cluster.ts';
import { type Fault, type Form, NotHere, type Outcome, type Stage } from './fault.ts';
import { Load, type LoadOptions } from './load.ts';
import type { Verdict } from './verdicts.ts';

/**
 * Calls a second at most: the load, the cluster and its stores share the machine, which the faults
 * need too. On one with more cores half of the capacity is more than that.
 */
const MAX_RATE = 400;
const SHARE_OF_CAPACITY = 0.5;
const CAPACITY_MS = 2_000;
const CAPACITY_CALLERS = 16;
const DEADLINE_MS = 5_000;

interface Shared {
  readonly key: string;
  readonly cluster: ChaosCluster;
}

export class Runner {
  readonly #note: (text: string) => void;
  readonly #minutes: number | undefined;
  readonly #capacity = new WeakMap<ChaosCluster, number>();
  #shared: Shared | undefined;

  /** @param minutes of the run that lasts minutes */
  constructor(note: (text: string) => void, minutes?: number) {
    this.#note = note;
    this.#minutes = minutes;
  }

  async run(fault: Fault, form: Form): Promise<Verdict> {
    const { id, title } = fault;
    const ends: (() => Promise<unknown>)[] = [];
    let outcome: Outcome = { deed: '', criteria: [] };
    let error: string | undefined;
    let skipped = '';
    const startMs = performance.now();
    try {
      outcome = await fault.run(this.#stageFor(id, ends), form);
    } catch (thrown) {
      if (thrown instanceof NotHere) skipped = thrown.message;
      else error = wordsOf(thrown);
    }
    for (const end of ends.reverse()) await end().catch(() => undefined);
    if (error !== undefined) await this.end();
    const seconds = (performance.now() - startMs) / 1_000;
    return { id, title, form, ...outcome, error, skipped, seconds };
  }

  async end(): Promise<void> {
    await this.#shared?.cluster.end();
    this.#shared = undefined;
  }

  #stageFor(id: string, ends: (() => Promise<unknown>)[]): Stage {
    const note = (text: string): void => this.#note(`${id}: ${text}`);
    return {
      note,
      minutes: this.#minutes,
      teardown: (end) => void ends.push(end),
      cluster: (options = USUAL_CLUSTER) => this.#sharedCluster(options, note),
      ownCluster: async (options) => {
        // Two clusters at once are more than a small machine can time.
        await this.end();
        const cluster = await ChaosCluster.start(options);
        ends.push(() => cluster.end());
        return cluster;
      },
      load: async (cluster, options = {}) => {
        const ratePerSecond = options.ratePerSecond ?? (await this.#rateFor(cluster, note));
        const whole: LoadOptions = {
          ...{ clients: options.clients ?? cluster.clients(), models: cluster.options.models },
          ...{ deadlineMs: DEADLINE_MS, random: Math.random },
          ...options,
          ratePerSecond,
        };
        const load = new Load(whole);
        ends.push(() => load.stop());
        return load;
      },
    };
  }

  async #sharedCluster(options: ClusterOptions, note: (text: string) => void) {
    const key = JSON.stringify(options);
    if (this.#shared?.key === key) {
      try {
        await this.#shared.cluster.whole();
        return this.#shared.cluster;
      } catch (thrown) {
        note(`the cluster did not become whole again: ${statusOf(thrown).message}`);
      }
    }
    await this.end();
    const cluster = await ChaosCluster.start(options);
    this.#shared = { key, cluster };
    return cluster;
  }

  async #rateFor(cluster: ChaosCluster, note: (text: string) => void): Promise<number> {
    const capacity = this.#capacity.get(cluster) ?? (await measureCapacity(cluster));
    this.#capacity.set(cluster, capacity);
    const rate = Math.min(MAX_RATE, Math.floor(capacity * SHARE_OF_CAPACITY));
    note(`${rate} calls/s: half of ${capacity} calls/s, at most ${MAX_RATE}`);
    return rate;
  }
}

function wordsOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : '';
  return `${statusOf(thrown).message} ${cause === '' ? '' : statusOf(cause).message}`.trim();
}

/** Calls a second that are answered to callers who wait for each answer. @throws for a wrong one */
async function measureCapacity(cluster: ChaosCluster): Promise<number> {
  const clients = cluster.clients();
  const { models } = cluster.options;
  let calls = 0;
  let wrong: string | undefined;
  const report = await runClosedLoop({
    send(done) {
      const call = calls++;
      const client = clients[call % clients.length];
      const model = models[Math.floor(call / clients.length) % models.length];
      if (client === undefined || model === undefined) throw new Error('nothing to call');
      client.infer(checkedRequest(model, call), DEADLINE_MS, ({ code, answer }) => {
        if (answer !== undefined) wrong ??= wrongIn(model, call, answer);
        done(code);
      });
    },
    ...{ concurrency: CAPACITY_CALLERS, durationMs: CAPACITY_MS, maxCalls: Infinity },
    clock: systemClock,
  });
  for (const client of clients) client.close();
  if (wrong !== undefined) throw new Error(wrong);
  return Math.floor(report.okPerSecond);
}
