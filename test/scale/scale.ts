// npm run scale: clusters of up to 1,000 nodes and 100,000 models. Plans apart, in processor time;
// then a leader, a router and the nodes around a real Redis. Prints tables, and what of the
// promises is broken, which the exit code tells too. With --write the tables and charts go into the
// docs. --nodes and --models take other sizes: --nodes 10,100 --models 1000.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { NO_REDIS, redisProgram } from '../support/redis-server.ts';
import type { ClusterFigures } from './cluster-run.ts';
import { measurePlans } from './plan-run.ts';
import {
  brokenPromises,
  changeTable,
  charts,
  clusterTable,
  planTable,
  restTable,
  type ScaleFigures,
} from './scale-report.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/scaling-strategy.md', import.meta.url));
const CLUSTER_RUN = fileURLToPath(new URL('./cluster-run.ts', import.meta.url));
const CHARTS = fileURLToPath(new URL('../../docs/scaling/', import.meta.url));

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10,100,1000' },
    models: { type: 'string', default: '1000,10000,100000' },
    write: { type: 'boolean', default: false },
  },
});
const sizesOf = (text: string): readonly number[] => text.split(',').map(Number);
const all = sizesOf(values.nodes).flatMap((nodes) =>
  sizesOf(values.models).map((models) => ({ nodes, models })),
);

/** In a process of its own: what one size leaves behind is not the next one's. */
async function clusterOf(nodes: number, models: number): Promise<ClusterFigures> {
  const args = [CLUSTER_RUN, String(nodes), String(models)];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args);
  if (stderr !== '') console.error(stderr.trim());
  return JSON.parse(stdout);
}

async function measure(): Promise<ScaleFigures> {
  const plans = all.map(({ nodes, models }) => measurePlans(nodes, models));
  const clusters = [];
  if (redisProgram() === undefined) console.log(`clusters are left out: ${NO_REDIS}`);
  else {
    for (const { nodes, models } of all) {
      console.error(`a cluster of ${nodes} nodes and ${models} models`);
      clusters.push(await clusterOf(nodes, models));
    }
  }
  return { plans, clusters };
}

const figures = await measure();
const tables = {
  plans: planTable(figures),
  clusters: clusterTable(figures),
  rest: restTable(figures),
  changes: changeTable(figures),
};
console.log(Object.values(tables).join('\n\n'));
if (values.write) {
  let text = readFileSync(DOCUMENT, 'utf8');
  for (const [name, table] of Object.entries(tables)) {
    const place = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- end -->)`);
    text = text.replace(place, (_, begin: string, end: string) => `${begin}${table}\n${end}`);
  }
  writeFileSync(DOCUMENT, text);
  mkdirSync(CHARTS, { recursive: true });
  for (const [file, svg] of charts(figures)) writeFileSync(`${CHARTS}${file}`, svg);
}
const broken = brokenPromises(figures);
for (const line of broken) console.log(line);
process.exitCode = broken.length === 0 ? 0 : 1;
