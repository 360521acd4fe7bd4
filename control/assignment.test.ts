import test from 'ava';
import type { AssignmentEntry, AssignmentShard } from '../registry/registry.ts';
import { entry } from '../test/support/small-cluster.ts';
import { stepTo } from './assignment.ts';

function shard(revision: number, entries: readonly AssignmentEntry[]): AssignmentShard {
  return { schema: 1, index: 3, epoch: 2, revision, entries };
}

test('a step names the nodes whose entries change, before and after, and no others', (t) => {
  const before = [
    entry('moved', 1, { nodes: ['a', 'b'] }),
    entry('gone', 1, { nodes: ['c'] }),
    entry('same', 1, { nodes: ['d'] }),
    entry('weighed', 1, { nodes: ['e'], weight: 1 }),
  ];
  const after = [
    entry('moved', 1, { nodes: ['b', 'f'] }),
    entry('same', 1, { nodes: ['d'] }),
    entry('weighed', 1, { nodes: ['e'], weight: 0 }),
    entry('new', 1, { nodes: ['g'] }),
  ];
  const step = stepTo(shard(6, after), shard(5, before));
  t.deepEqual([...(step?.nodeIds ?? [])].sort(), ['a', 'b', 'c', 'e', 'f', 'g']);
  t.like(step, { from: { index: 3, epoch: 2, revision: 5 }, to: { revision: 6 } });
  t.deepEqual(stepTo(shard(6, before), shard(5, before))?.nodeIds, []);
  t.is(stepTo(shard(6, after), undefined), undefined);
});
