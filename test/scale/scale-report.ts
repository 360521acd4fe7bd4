// The figures of npm run scale as tables, charts, and what of the promises is broken. Pure.
import type { ClusterFigures } from './cluster-run.ts';
import type { Traffic } from './counting-proxy.ts';
import { type Line, lineChart } from './line-chart.ts';
import type { PlanFigures, Step } from './plan-run.ts';

export interface ScaleFigures {
  readonly plans: readonly PlanFigures[];
  readonly clusters: readonly ClusterFigures[];
}

const MOST_FULL_MS = 3_000;
const MANY_NODES = 100;
const MANY_MODELS = 100_000;
const MOST_CHANGE_MS = 300;
const MOST_MOVED_RATIO = 1.3;
/** Of all copies: below it a ratio says nothing. */
const HARDLY_ANY = 0.0005;
const MOST_ROUTER_BYTES = 200;
const MOST_TURN_MS = 50;

const percent = (share: number): string => `${(share * 100).toFixed(3)}%`;
const moved = (step: Step): string =>
  `${percent(step.movedShare)} (least ${percent(step.leastShare)})`;
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
const bytesOf = ({ router }: ClusterFigures): number => router.heapBytes + router.externalBytes;

function size(bytes: number): string {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(0)} KB` : `${bytes.toFixed(0)} B`;
}

function table(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = rows.map((row) => `| ${row.join(' | ')} |`);
  return [`| ${heads.join(' | ')} |`, `|${heads.map(() => '--:|').join('')}`, ...lines].join('\n');
}

export function planTable({ plans }: ScaleFigures): string {
  const heads = ['nodes', 'models', 'full plan', 'after a join', 'after a leave'];
  const more = ['a join moves', 'a leave moves', 'peak / mean', 'largest copy / mean'];
  const rows = plans.map(({ nodes, models, full, join, leave }) => [
    ...[nodes, models],
    ...[full, join, leave].map(({ cpuMs }) => `${cpuMs.toFixed(0)} ms`),
    ...[moved(join), moved(leave), full.peak.toFixed(2), full.largest.toFixed(2)],
  ]);
  return table([...heads, ...more], rows);
}

export function clusterTable({ clusters }: ScaleFigures): string {
  const heads = ['nodes', 'models', 'all at once', 'after a leave', 'after a join'];
  const more = ['router holds', 'a model of that', "leader's longest turn"];
  const rows = clusters.map((one) => [
    ...[one.nodes, one.models],
    ...[one.start, one.leave, one.join].map(({ convergedMs }) => seconds(convergedMs)),
    ...[size(bytesOf(one)), `${(bytesOf(one) / one.models).toFixed(0)} B`],
    `${one.longestTurnMs.toFixed(0)} ms`,
  ]);
  return table([...heads, ...more], rows);
}

function traffic({ commands, sentBytes, receivedBytes }: Traffic): string {
  return `${commands}, ${size(sentBytes)} + ${size(receivedBytes)}`;
}

function rate({ commands, sentBytes, receivedBytes }: Traffic, overMs: number): string {
  const each = (count: number): number => (count * 1_000) / overMs;
  return `${each(commands).toFixed(1)}, ${size(each(sentBytes + receivedBytes))}`;
}

export function restTable({ clusters }: ScaleFigures): string {
  const heads = ['nodes', 'models', 'leader', 'router', 'all nodes'];
  const rows = clusters.map(({ nodes, models, rest, restMs }) => [
    ...[nodes, models],
    ...[rest.leader, rest.router, rest.nodes].map((one) => rate(one, restMs)),
  ]);
  return table(heads, rows);
}

export function changeTable({ clusters }: ScaleFigures): string {
  const heads = ['nodes', 'models', 'a leave: leader', 'router', 'a join: leader', 'router'];
  const rows = clusters.map(({ nodes, models, leave, join }) => [
    ...[nodes, models],
    ...[leave.leader, leave.router, join.leader, join.router].map(traffic),
  ]);
  return table(heads, rows);
}

/** By file name. */
export function charts({ plans, clusters }: ScaleFigures): ReadonlyMap<string, string> {
  const xLabel = 'models';
  const plan = (title: string, read: (one: PlanFigures) => number, most: number): string =>
    lineChart({
      ...{ title, xLabel, yLabel: 'processor time, ms' },
      lines: byNodes(plans, read),
      limit: { name: `${most} ms`, y: most },
    });
  return new Map([
    ['full-plan.svg', plan('A full plan', ({ full }) => full.cpuMs, MOST_FULL_MS)],
    [
      'plan-after-leave.svg',
      plan('A plan after a leave', ({ leave }) => leave.cpuMs, MOST_CHANGE_MS),
    ],
    [
      'router-memory.svg',
      lineChart({
        ...{ title: "A router's memory", xLabel, yLabel: 'bytes a model' },
        lines: byNodes(clusters, (one) => bytesOf(one) / one.models),
        limit: { name: `${MOST_ROUTER_BYTES} B`, y: MOST_ROUTER_BYTES },
      }),
    ],
    [
      'leave-bytes.svg',
      lineChart({
        ...{ title: 'What a router reads after a leave', xLabel, yLabel: 'bytes' },
        lines: byNodes(clusters, ({ leave }) => leave.router.receivedBytes),
      }),
    ],
  ]);
}

function byNodes<T extends { readonly nodes: number; readonly models: number }>(
  all: readonly T[],
  read: (one: T) => number,
): Line[] {
  return [...new Set(all.map(({ nodes }) => nodes))].map((nodes) => ({
    name: `${nodes.toLocaleString('en')} nodes`,
    points: all
      .filter((one) => one.nodes === nodes)
      .map((one) => [one.models, Math.max(read(one), Number.MIN_VALUE)] as const),
  }));
}

/** Empty: every promise is kept. */
export function brokenPromises({ plans, clusters }: ScaleFigures): readonly string[] {
  const broken: string[] = [];
  for (const { nodes, models, full, join, leave } of plans) {
    const where = `${nodes} nodes, ${models} models`;
    if (full.cpuMs > MOST_FULL_MS) broken.push(`${where}: the full plan takes too long`);
    if (nodes >= MANY_NODES && Math.max(join.cpuMs, leave.cpuMs) > MOST_CHANGE_MS) {
      broken.push(`${where}: a plan after a change takes too long`);
    }
    const isMuch = ({ movedShare, leastShare }: Step): boolean =>
      movedShare > MOST_MOVED_RATIO * leastShare + HARDLY_ANY;
    if (isMuch(leave)) broken.push(`${where}: a leave moves too much`);
    if (isMuch(join)) broken.push(`${where}: a join moves too much`);
  }
  for (const one of clusters) {
    const where = `${one.nodes} nodes, ${one.models} models`;
    if (one.models >= MANY_MODELS && bytesOf(one) > MOST_ROUTER_BYTES * one.models) {
      broken.push(`${where}: the router holds too much`);
    }
    if (one.longestTurnMs > MOST_TURN_MS) broken.push(`${where}: the leader's thread is blocked`);
  }
  return broken;
}
