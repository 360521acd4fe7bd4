// What control tells Prometheus: who leads, the last plan, and how many jobs are in which state.
import { Counter, Gauge } from 'prom-client';
import type { Catalog } from '../catalog/catalog.ts';
import { JOB_STATES } from '../catalog/documents.ts';
import { LabelLimit, type Metrics, OTHER } from '../common/metrics.ts';
import type { PlanReport } from './planner.ts';

const JOB_KINDS = ['train', 'import_dataset', 'import_model'] as const;
/** Jobs are counted anew at most this often, however often metrics are asked for. */
const COUNT_JOBS_MS = 5_000;

export interface ControlMetrics {
  leads(epoch: number | undefined): void;
  planned(report: PlanReport): void;
  lostPlanner(): void;
}

export interface ControlMetricsOptions {
  readonly metrics: Metrics;
  readonly catalog: Catalog;
  readonly nowMs: () => number;
}

export function controlMetrics(options: ControlMetricsOptions): ControlMetrics {
  const registers = [options.metrics];
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  const leader = gauge('torus_leader', '1 while this process leads the cluster');
  const epoch = gauge('torus_leader_epoch', 'Epoch under which this process last led');
  const revision = gauge(
    'torus_assignment_revision',
    "Sum of the assignment shards' revisions: grows with each change",
  );
  const nodes = gauge('torus_nodes', 'Nodes alive at the last plan');
  const ring = gauge(
    'torus_ring_nodes',
    'Nodes that the ring places models on: not those that drain',
  );
  const assigned = new Gauge({
    name: 'torus_ring_assigned_copies',
    help: 'Copies that the assignment gives to each node of the ring',
    labelNames: ['node'],
    registers,
  });
  const limit = new LabelLimit();
  const wanted = gauge('torus_copies_wanted', 'Copies that the assignment asks for');
  const ready = gauge('torus_copies_ready', 'Copies that nodes have ready');
  const moved = new Counter({
    name: 'torus_copies_moved_total',
    help: 'Copies that plans of this process gave to another node than before',
    registers,
  });
  const seconds = gauge(
    'torus_plan_seconds',
    'Time of the last plan, reading and writing included',
  );
  let plannedMs: number | undefined;
  new Gauge({
    name: 'torus_registry_staleness_seconds',
    help: 'Since the leader last read the whole registry and wrote what follows; NaN: never',
    registers,
    collect() {
      this.set(plannedMs === undefined ? Number.NaN : (options.nowMs() - plannedMs) / 1_000);
    },
  });
  const lost = new Counter({
    name: 'torus_planner_losses_total',
    help: 'Times that the thread which makes the plans ended and was started anew',
    registers,
  });
  countJobs(options);
  return {
    lostPlanner: () => lost.inc(),
    leads(now) {
      leader.set(now === undefined ? 0 : 1);
      if (now !== undefined) epoch.set(now);
    },
    planned(report) {
      revision.set(report.revision);
      nodes.set(report.nodes);
      ring.set(report.copiesByNode.size);
      assigned.reset();
      for (const [node, count] of report.copiesByNode) {
        assigned.inc({ node: limit.admits(node) ? node : OTHER }, count);
      }
      wanted.set(report.copiesWanted);
      ready.set(report.copiesReady);
      moved.inc(report.copiesMoved);
      seconds.set(report.planSeconds);
      plannedMs = options.nowMs();
    },
  };
}

function countJobs({ metrics, catalog, nowMs }: ControlMetricsOptions): void {
  let countedMs = Number.NEGATIVE_INFINITY;
  new Gauge({
    name: 'torus_jobs',
    help: 'Jobs in the catalog, by kind and state',
    labelNames: ['kind', 'state'],
    registers: [metrics],
    async collect() {
      if (nowMs() - countedMs < COUNT_JOBS_MS) return;
      countedMs = nowMs();
      // A catalog that is away must not take all other metrics with it: the last counts stay.
      const counts = await jobCounts(catalog).catch(() => undefined);
      if (counts === undefined) return;
      for (const kind of JOB_KINDS) {
        for (const state of JOB_STATES) {
          this.set({ kind, state }, counts.get(`${kind} ${state}`) ?? 0);
        }
      }
    },
  });
}

/** By 'kind state'. */
async function jobCounts(catalog: Catalog): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const onInvalid = (): void => {};
  for await (const { doc } of catalog.scan('job', { onInvalid })) {
    const key = `${doc.spec.kind} ${doc.state}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
