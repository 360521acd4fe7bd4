import test from 'ava';
import type { AssignmentShard } from '../registry/registry.ts';
import { copy, entry } from '../test/support/small-cluster.ts';
import { Assignment } from './assignment.ts';

const here = entry('digits', 1, { nodes: ['n2', 'n1'], weight: 0.5 });

function shard(part: Partial<AssignmentShard>): AssignmentShard {
  return { schema: 1, index: 3, epoch: 2, revision: 5, entries: [here], ...part };
}

function wantedBy(assignment: Assignment): readonly string[] {
  const wanted = assignment.wanted([], new Map());
  return wanted.map(({ model, version }) => `${model}/${version}`);
}

test('only what names this node is wanted of it', (t) => {
  const assignment = new Assignment('n1');
  const elsewhere = entry('iris', 1, { nodes: ['n2'] });
  t.is(assignment.take(shard({ entries: [elsewhere, here] })), 'accepted');
  t.deepEqual(assignment.wanted([], new Map()), [
    {
      model: 'digits',
      version: 1,
      manifestSha256: here.manifestSha256,
      weight: 0.5,
      isKeptOnly: false,
      deaths: 0,
      trafficRank: 0,
    },
  ]);
});

test('one bit changed in what was kept: it is left aside, or means the same', (t) => {
  const before = new Assignment('n1');
  before.take(shard({}));
  const text = Buffer.from(before.encode());
  const wanted = before.wanted([], new Map());
  for (let bit = 0; bit < text.length * 8; bit += 1) {
    const damaged = Buffer.from(text);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const after = new Assignment('n1');
    if (!after.restore(damaged.toString())) continue;
    t.deepEqual(after.wanted([], new Map()), wanted, damaged.toString());
    t.false(after.isNews({ index: 3, epoch: 2, revision: 4 }));
    t.true(after.isNews({ index: 3, epoch: 2, revision: 5 }));
  }
  const older = JSON.stringify({ shards: [shard({})] });
  t.true(new Assignment('n1').restore(older), 'as the release before this wrote it');
});

test('a revision that leaves its entries as they are need not be read', (t) => {
  const of = (epoch: number, revision: number) => ({ index: 3, epoch, revision });
  const step = { from: of(2, 5), to: of(3, 6), nodeIds: ['n2'] };
  const knowing = (): Assignment => {
    const assignment = new Assignment('n1');
    assignment.take(shard({}));
    return assignment;
  };
  const assignment = knowing();
  t.true(assignment.passOver(step, []));
  t.deepEqual(wantedBy(assignment), ['digits/1']);
  t.is(assignment.take(shard({ revision: 99, entries: [] })), 'stale', 'of the older leader');
  t.false(assignment.isNews(of(3, 6)));
  t.false(assignment.passOver(step, []), 'it has that already');
  t.false(knowing().passOver({ ...step, nodeIds: ['n1'] }, []), 'its own entries change');
  t.false(knowing().passOver({ ...step, from: of(2, 4) }, []), 'a step from another revision');
  t.false(knowing().passOver({ ...step, to: of(1, 9) }, []), 'of an older leader');
  t.false(new Assignment('n1').passOver(step, []), 'it has none');
  const restored = new Assignment('n1');
  t.true(restored.restore(knowing().encode()));
  t.false(restored.passOver(step, []), 'from the disk it has its own entries only');
  const moved = new Assignment('n1');
  moved.take(shard({ entries: [{ ...here, nodes: ['n2'] }] }));
  const held = { ...here, state: 'READY' as const };
  t.false(moved.passOver(step, [held]), 'a copy waits for its new home');
  t.true(moved.passOver(step, []));
});

test('older epochs, older revisions and newer schemas are left aside', (t) => {
  const assignment = new Assignment('n1');
  assignment.take(shard({}));
  t.is(assignment.take(shard({ epoch: 1, revision: 99, entries: [] })), 'stale');
  t.is(assignment.take(shard({ revision: 5, entries: [] })), 'stale');
  t.is(assignment.take(shard({ revision: 4, entries: [] })), 'stale');
  t.is(assignment.take(shard({ schema: 2, epoch: 9, entries: [] })), 'too_new');
  t.deepEqual(wantedBy(assignment), ['digits/1']);
  t.is(assignment.take(shard({ epoch: 3, revision: 1, entries: [] })), 'accepted');
  t.deepEqual(wantedBy(assignment), []);
});

test('what is kept on disk brings back what is wanted; the registry completes it', (t) => {
  const before = new Assignment('n1');
  before.take(shard({ entries: [here, entry('iris', 1, { nodes: ['n2'] })] }));
  before.take(shard({ index: 4, entries: [] }));
  const after = new Assignment('n1');
  t.true(after.restore(before.encode()));
  t.deepEqual(wantedBy(after), ['digits/1']);
  t.false(after.isNews({ index: 3, epoch: 2, revision: 4 }));
  t.true(after.isNews({ index: 3, epoch: 2, revision: 5 }));
  after.take(shard({}));
  t.false(after.isNews({ index: 3, epoch: 2, revision: 5 }));
});

test('text that is no assignment is refused whole', (t) => {
  for (const text of ['', '{', '[]', '{"shards":[{"schema":1}]}', '{"shards":{}}']) {
    const assignment = new Assignment('n1');
    t.false(assignment.restore(text), text);
    t.deepEqual(wantedBy(assignment), []);
  }
});

test('a copy that went elsewhere is kept while none of its new homes is READY', (t) => {
  const assignment = new Assignment('n1');
  const held = [copy('digits', 1)];
  assignment.take(shard({ entries: [entry('digits', 1, { nodes: ['n2', 'n3'] })] }));
  t.true(assignment.leaving(held));
  t.false(assignment.leaving([]));
  const wanted = (...others: Parameters<typeof copy>[2][]) =>
    assignment
      .wanted(held, new Map(others.map((state, at) => [`n${at + 2}`, [copy('digits', 1, state)]])))
      .map(({ isKeptOnly }) => isKeptOnly);
  t.deepEqual(wanted(), [true]);
  t.deepEqual(wanted('LOADING', 'FAILED'), [true]);
  t.deepEqual(wanted('LOADING', 'READY'), []);
  assignment.take(shard({ revision: 6, entries: [entry('digits', 1, { nodes: [] })] }));
  t.deepEqual(wanted(), []);
});
