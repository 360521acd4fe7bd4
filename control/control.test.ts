import test from 'ava';
import { systemClock, VirtualClock } from '../common/clock.ts';
import { createMetrics } from '../common/metrics.ts';
import { ClusterServiceService } from '../proto/gen/torus/v1/cluster_service.ts';
import { HEARTBEAT_MS, NODE_TTL_MS, REGISTRY_SCHEMA } from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import { adminWorld, outcomeOf } from '../test/support/admin-world.ts';
import { clientOf } from '../transport/definition.ts';
import { FIRST_GARBAGE_MS, startControl } from './control.ts';
import { SINGLE_PROCESS_TIMING } from './leader.ts';

async function worldOf(t: { teardown(end: () => Promise<void>): void }) {
  const world = await adminWorld((end) => t.teardown(end));
  const clock = new VirtualClock();
  const metrics = createMetrics();
  const options = { ...world, clock, metrics, id: 'c1', timing: SINGLE_PROCESS_TIMING };
  const control = await startControl(options);
  t.teardown(() => control.stop());
  await world.registry.putNode(
    {
      schema: REGISTRY_SCHEMA,
      id: 'a',
      incarnation: 'i',
      address: '127.0.0.1:1',
      state: 'SERVING',
      zone: '',
      memoryLimitBytes: 0,
    },
    [],
    60_000,
  );
  return {
    ...world,
    control,
    metrics,
    async pass(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= HEARTBEAT_MS) {
        clock.advance(Math.min(HEARTBEAT_MS, left));
        for (let turn = 0; turn < 10; turn += 1) await new Promise((done) => setImmediate(done));
      }
    },
    async assigned(model: string) {
      const [shard] = await world.registry.shards([shardOf(model)]);
      return shard?.entries.find((entry) => entry.model === model);
    },
  };
}

test('control leads, answers the admin API, and loads and unloads for the router', async (t) => {
  const world = await worldOf(t);
  const { control } = world;
  await world.publish('m', true);
  await world.pass(NODE_TTL_MS);
  t.is(control.leaderEpoch(), 1);
  t.like(await world.assigned('m'), { nodes: ['a'], weight: 1 });
  await control.unloadModel('m');
  await world.pass(HEARTBEAT_MS);
  t.like(await world.assigned('m'), { nodes: [], weight: 0, version: 1 });
  await control.loadModel('m');
  await world.pass(HEARTBEAT_MS);
  t.like(await world.assigned('m'), { nodes: ['a'], weight: 1 });
  const status = await clientOf(ClusterServiceService, control.backend).getClusterStatus({});
  t.like(status, { leaderId: 'c1', leaderEpoch: 1n });
  await control.stop();
  t.is(control.leaderEpoch(), undefined);
  t.is(await world.registry.lease('leader'), undefined);
});

test('loading a model that serves nothing yet takes its newest READY version', async (t) => {
  const { control, publish, catalog } = await worldOf(t);
  await publish('m', false);
  await publish('m', false);
  await publish('m', false, { state: 'FAILED' });
  await control.loadModel('m');
  t.like((await catalog.require('model', 'm')).doc, { servingVersion: 2, loadedVersions: [2] });
});

test('loading what is not there tells so, unloading it is nothing to do', async (t) => {
  const { control, catalog, publish } = await worldOf(t);
  const unknown = /^NOT_FOUND: Request for unknown model: '.*' is not found/;
  for (const model of ['m', '../m', '']) {
    t.regex(await outcomeOf(control.loadModel(model)), unknown);
    t.is(await outcomeOf(control.unloadModel(model)), 'OK');
  }
  await publish('m', false, { state: 'FAILED' });
  t.regex(await outcomeOf(control.loadModel('m')), /^FAILED_PRECONDITION: .*no version/);
  t.is((await catalog.require('model', 'm')).doc.servingVersion, 0);
});

test('metrics tell the lead, the plan and the jobs', async (t) => {
  const { control, metrics, publish, pass } = await worldOf(t);
  await publish('m', true);
  await pass(NODE_TTL_MS);
  const text = await metrics.metrics();
  for (const line of [
    'torus_leader 1',
    'torus_leader_epoch 1',
    'torus_nodes 1',
    'torus_ring_nodes 1',
    'torus_ring_assigned_copies{node="a"} 1',
    'torus_copies_wanted 1',
    'torus_copies_ready 0',
    'torus_jobs{kind="train",state="QUEUED"} 0',
  ]) {
    t.true(text.includes(`${line}\n`), line);
  }
  t.regex(text, /torus_assignment_revision [1-9]/);
  await control.stop();
  t.true((await metrics.metrics()).includes('torus_leader 0\n'));
});

test('blobs that nothing names go a while after the start, those of today stay', async (t) => {
  const { blobs, upload, pass } = await worldOf(t);
  const fresh = await upload('fresh');
  const list = blobs.list.bind(blobs);
  // The world's date starts in 1970, so a blob of today is young; this one is older still.
  const stale = await upload('stale');
  blobs.list = async (after, limit) =>
    (await list(after, limit)).map((one) =>
      one.sha256 === stale ? { ...one, writtenMs: -1_000 * 24 * 60 * 60 * 1_000 } : one,
    );
  await pass(FIRST_GARBAGE_MS + HEARTBEAT_MS);
  // Files are removed by threads of their own: waits for the removal, not for a time.
  const startMs = systemClock.nowMs();
  while ((await blobs.stat(stale)) !== undefined && systemClock.nowMs() - startMs < 5_000) {
    await new Promise((done) => setImmediate(done));
  }
  t.is(await blobs.stat(stale), undefined);
  t.truthy(await blobs.stat(fresh));
});
