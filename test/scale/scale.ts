// npm run scale: what the leader's plan takes on clusters of up to 1,000 nodes and 100,000 models,
// in processor time, and what it moves when a node joins or leaves. Promised: a full plan within
// 3 s; from 100 nodes on one after a join or leave within 0.3 s (with fewer, a node is a large part
// of the cluster); a leave moves at most 1.3 times what it must. Prints a table; the exit code
// tells.
import { measurePlans, type Step } from './plan-run.ts';

const NODES = [10, 100, 1_000];
const MODELS = [1_000, 10_000, 100_000];
const MOST_FULL_MS = 3_000;
const MANY_NODES = 100;
const MOST_CHANGE_MS = 300;
const MOST_MOVED_RATIO = 1.3;

const percent = (share: number): string => `${(share * 100).toFixed(3)}%`;
const moved = (step: Step): string =>
  `${percent(step.movedShare)} (least ${percent(step.leastShare)})`;

console.log(
  '| nodes | models | full plan | after a join | after a leave | a join moves | a leave moves ' +
    '| peak / mean | largest copy / mean |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
);
const broken: string[] = [];
for (const nodes of NODES) {
  for (const models of MODELS) {
    const { full, join, leave } = measurePlans(nodes, models);
    const columns = [
      nodes,
      models,
      ...[full, join, leave].map(({ cpuMs }) => `${cpuMs.toFixed(0)} ms`),
      moved(join),
      moved(leave),
      full.peak.toFixed(2),
      full.largest.toFixed(2),
    ];
    console.log(`| ${columns.join(' | ')} |`);
    const size = `${nodes} nodes, ${models} models`;
    if (full.cpuMs > MOST_FULL_MS) broken.push(`${size}: the full plan takes too long`);
    if (nodes >= MANY_NODES && Math.max(join.cpuMs, leave.cpuMs) > MOST_CHANGE_MS) {
      broken.push(`${size}: a plan after a change takes too long`);
    }
    if (leave.movedShare > MOST_MOVED_RATIO * leave.leastShare) {
      broken.push(`${size}: a leave moves too much`);
    }
  }
}
for (const line of broken) console.log(line);
process.exitCode = broken.length === 0 ? 0 : 1;
