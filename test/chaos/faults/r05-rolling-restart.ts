// R5: every process of the cluster is told to end (SIGTERM) and started again, one after the other:
// as it is, and once more from the release before to this one.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pause } from '../../support/redis-server.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { type Criterion, type Fault, type Form, none, type Stage } from '../fault.ts';
import type { Load } from '../load.ts';
import { releaseBefore } from '../release-before.ts';

const MAIN = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));
/** In both rounds together. */
const LEAST_CALLS = 20_000;
/**
 * Between routers clients have to have found the one before again. gRPC waits 1 s before it
 * connects anew, and 1.6 times as long each time after, a fifth more or less: the last wait may
 * be as long as all those before, so as the router was away.
 */
const FOUND_AGAIN_MS = 2_000;
const FOUND_AGAIN_SHARE = 1.5;
const LOOK_MS = 200;

export const rollingRestart: Fault = {
  id: 'R5',
  title: 'everything is restarted in turn (SIGTERM), and upgraded',
  async run(stage, form) {
    if (form === 'short') return await shortForm(stage);
    const folder = await mkdtemp(join(tmpdir(), 'torus-before-'));
    stage.teardown(() => rm(folder, { recursive: true, force: true }));
    const old = releaseBefore(folder);
    const cluster = await stage.ownCluster({ ...USUAL_CLUSTER, controls: 2 });
    const same = await rolled(stage, cluster, form);
    await cluster.end();
    const before = await stage.ownCluster({ ...USUAL_CLUSTER, controls: 2, main: old.main });
    const upgraded = await rolled(stage, before, form, MAIN);
    const calls = [same, upgraded].reduce((sum, { load }) => sum + load.book.count, 0);
    const criteria = [
      ...criteriaOf('restarted', same.load),
      ...criteriaOf(`from ${old.name}`, upgraded.load),
      {
        promise: 'calls: >= 20,000',
        measured: String(calls),
        isKept: calls >= LEAST_CALLS,
      },
    ];
    const count = same.restarts + upgraded.restarts;
    return { deed: `${count} restarts, half of them from ${old.name} to this`, criteria };
  },
};

/** One of each role. */
async function shortForm(stage: Stage) {
  const cluster = await stage.cluster();
  const { load, restarts } = await rolled(stage, cluster, 'short');
  return { deed: `${restarts} restarts, one of each role`, criteria: criteriaOf('all', load) };
}

function criteriaOf(what: string, { book, startMs }: Load): readonly Criterion[] {
  const all = book.figures();
  const words = book.failureWords(startMs);
  return [
    none(`${what}: wrong answers: 0`, all.wrong, `${all.calls} calls`, words),
    none(`${what}: failed calls: 0`, all.failed, `${all.calls} calls`, words),
  ];
}

/** @param main what they are started from then */
async function rolled(stage: Stage, cluster: ChaosCluster, form: Form, main?: string) {
  const load = await stage.load(cluster);
  const { nodes, routers, controls, ingest } = cluster;
  const ofEach = [nodes, routers, controls, [ingest]];
  const members = ofEach.flatMap((role) => (form === 'full' ? role : role.slice(0, 1)));
  for (const member of members) {
    const stopMs = performance.now();
    const code = await member.stop();
    if (code !== 0) throw new Error(`${member.id} ended with ${code}: ${member.process.stderr()}`);
    await member.start(main === undefined ? {} : { main });
    await cluster.untilReady();
    const awayMs = performance.now() - stopMs;
    if (member.role === 'router' && form === 'full') {
      await pause(FOUND_AGAIN_MS + awayMs * FOUND_AGAIN_SHARE);
    }
    stage.note(`${member.id} was restarted`);
  }
  while (form === 'full' && load.book.count < LEAST_CALLS / 2) await pause(LOOK_MS);
  await load.stop();
  return { load, restarts: members.length };
}
