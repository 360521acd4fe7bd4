import test from 'ava';
import { unavailable } from '../common/status.ts';
import type { AssignmentShard, Registry } from '../registry/registry.ts';
import { shardOf } from '../registry/shards.ts';
import { LeaderWorld } from '../test/support/leader-world.ts';

test('the number of a write whose answer was lost never stands for another content', async (t) => {
  const world = new LeaderWorld();
  const { registry } = world;
  const written: AssignmentShard[] = [];
  let isCut = false;
  world.registry = new Proxy<Registry>(registry, {
    get(target, name: keyof Registry) {
      if (name !== 'putShard') return target[name].bind(target);
      return async (shard: AssignmentShard) => {
        if (shard.index === shardOf('digits')) written.push(shard);
        // Lost with the server that took it.
        if (isCut && shard.entries.length > 0) throw unavailable('no answer');
        return await target.putShard(shard);
      };
    },
  });
  world.leader('c1');
  await world.join('a');
  await world.pass(200);
  isCut = true;
  await world.publish('digits');
  await world.pass(2_000);
  isCut = false;
  await world.pass(2_000);
  t.deepEqual(await world.nodesOf('digits'), ['a']);
  const revisions = written.map(({ revision }) => revision);
  t.true(revisions.length > 3, String(revisions));
  t.is(new Set(revisions).size, revisions.length, String(revisions));
  t.deepEqual(
    revisions,
    [...revisions].sort((a, b) => a - b),
  );
});
