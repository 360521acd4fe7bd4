// R4: three times as many calls come as the nodes can compute. What they can is answered in time,
// the rest is told no at once, and nobody's memory grows for it.

import { availableParallelism } from 'node:os';
import { systemClock } from '../../../common/clock.ts';
import { runClosedLoop } from '../../../loadtest/generator.ts';
import { pause } from '../../support/redis-server.ts';
import { type CheckedModel, checkedOnnx, checkedRequest, wrongIn } from '../checked-model.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, none } from '../fault.ts';
import type { Member } from '../member.ts';
import { metric } from '../observe.ts';
import { planting } from '../planted.ts';
import { cpuMs, rssBytes } from '../processes.ts';

const FULL = { capacityMs: 10_000, overloadMs: 60_000 };
const SHORT = { capacityMs: 3_000, overloadMs: 5_000 };
const TIMES = 3;
/** Products of matrices: 2 ms of computing a call and more, one call at a time. */
const PRODUCTS = 8;
const CONFIG = 'max_batch_size: 1';
const DEADLINE_MS = 500;
/** As many at a time as keep each node busy. */
const CALLERS_PER_NODE = 4;
const LEAST_GOODPUT = 0.9;
const MOST_REJECT_MS = 50;
const MOST_CPU_SHARE = 0.25;
/** Runs that end just too late had begun in time: a run takes a hundredth of the deadline. */
const MOST_LATE_SHARE = 0.02;
const RSS_CAP_BYTES = 512 * 2 ** 20;
const LOOK_MS = 500;
const MOST_WORDS = 1_500;

/** A core computes for each node; the other half are for everything else. */
const NODES = Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)));
const MODEL: CheckedModel = { name: 'busy', mark: 500, copies: NODES };

export const overload: Fault = {
  id: 'R4',
  title: 'three times the capacity',
  async run(stage, form) {
    const { capacityMs, overloadMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.ownCluster({
      ...USUAL_CLUSTER,
      nodes: NODES,
      routers: 1,
      models: [],
    });
    await plantBusy(cluster);
    const peak = await capacity(cluster, capacityMs);
    stage.note(`peak: ${peak.toFixed(0)} calls/s; called ${TIMES} times as often now`);
    const { nodes, routers } = cluster;
    const before = await observed(nodes, routers);
    const startMs = performance.now();
    const ratePerSecond = TIMES * peak;
    const load = await stage.load(cluster, {
      ...{ models: [MODEL], ratePerSecond, deadlineMs: DEADLINE_MS },
    });
    let rss = 0;
    while (performance.now() - startMs < overloadMs) {
      await pause(LOOK_MS);
      const all = await Promise.all([...nodes, ...routers].map((one) => rssBytes(one.process.pid)));
      rss = Math.max(rss, ...all);
    }
    const seconds = (performance.now() - startMs) / 1_000;
    const cpu = await observed(nodes, routers);
    await load.stop();
    const after = await observed(nodes, routers);
    const { book } = load;
    // Queues fill first.
    const all = book.figures();
    const good = all.calls - all.failed;
    const ran = after.ran - before.ran;
    const late = Math.max(0, ran - good);
    const share = (cpu.cpuMs - before.cpuMs) / (seconds * 1_000 * availableParallelism());
    const goodput = good / seconds / peak;
    const criteria: Criterion[] = [
      none('wrong answers: 0', all.wrong, `${all.calls} calls`),
      {
        promise: 'goodput: >= 90% of the peak',
        measured: `${(100 * goodput).toFixed(0)}% of ${peak.toFixed(0)} calls/s`,
        isKept: goodput >= LEAST_GOODPUT,
      },
      atMost("rejects' p99: <= 50 ms", all.failureP99Ms, MOST_REJECT_MS, `ms of ${all.failed}`),
      atMost('runs for nobody: <= 2%', (100 * late) / Math.max(1, ran), 100 * MOST_LATE_SHARE, '%'),
      atMost('RSS of node or router: <= 512 MiB', rss / 2 ** 20, RSS_CAP_BYTES / 2 ** 20, 'MiB'),
      atMost("generator's and router's CPU: <= 25%", 100 * share, 100 * MOST_CPU_SHARE, '%'),
    ];
    const deed = `${ratePerSecond.toFixed(0)} calls/s for ${overloadMs / 1_000} s`;
    stage.note(`the first failures: ${book.failureWords(load.startMs).slice(0, MOST_WORDS)}`);
    return { deed, criteria };
  },
};

async function plantBusy(cluster: ChaosCluster): Promise<void> {
  const plants = await planting(cluster.surroundings);
  try {
    const onnx = (version: number): Uint8Array => checkedOnnx(MODEL, version, PRODUCTS);
    const { version } = await plants.plant(MODEL, { onnx, configPbtxt: CONFIG });
    await cluster.admin.promote(MODEL.name, version);
  } finally {
    await plants.close();
  }
  while ((await cluster.holders(MODEL.name)).length < MODEL.copies) await pause(LOOK_MS);
}

/** Answers a second to callers who wait for each. @throws for a wrong one */
async function capacity(cluster: ChaosCluster, durationMs: number): Promise<number> {
  const clients = cluster.clients();
  let calls = 0;
  let wrong: string | undefined;
  const report = await runClosedLoop({
    send(done) {
      const call = calls++;
      clients[call % clients.length]?.infer(checkedRequest(MODEL, call), 5_000, (ended) => {
        if (ended.answer !== undefined) wrong ??= wrongIn(MODEL, call, ended.answer);
        done(ended.code);
      });
    },
    ...{ concurrency: CALLERS_PER_NODE * cluster.nodes.length, durationMs, maxCalls: Infinity },
    clock: systemClock,
  });
  for (const client of clients) client.close();
  if (wrong !== undefined) throw new Error(wrong);
  return report.okPerSecond;
}

/** Calls that the nodes have run, and processor time of routers and of this process so far. */
async function observed(nodes: readonly Member[], routers: readonly Member[]) {
  const { user, system } = process.cpuUsage();
  const ran = await Promise.all(nodes.map((node) => metric(node, 'nv_inference_count')));
  const cpu = await Promise.all(routers.map((router) => cpuMs(router.process.pid)));
  return {
    ran: ran.reduce((sum, count) => sum + count, 0),
    cpuMs: cpu.reduce((sum, one) => sum + one, (user + system) / 1_000),
  };
}
