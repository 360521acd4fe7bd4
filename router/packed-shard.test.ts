import test from 'ava';
import fc from 'fast-check';
import type { AssignmentShard, CopyState } from '../registry/registry.ts';
import { copy, entry } from '../test/support/small-cluster.ts';
import { NodeNumbers } from './node-numbers.ts';
import { PackedShard } from './packed-shard.ts';

const MODELS = ['a', 'b', 'c', 'd', 'e\u00e9'];
const NODES = ['n1', 'n2', 'n3'];
const HASHES = ['a'.repeat(64), `0${'f'.repeat(63)}`, 'no hash', 'A'.repeat(64)];
const STATES: CopyState[] = ['LOADING', 'READY', 'UNLOADING', 'FAILED', 'QUARANTINED'];

const model = fc.constantFrom(...MODELS);
const version = fc.constantFrom(1, 2, 1_700_000_000_123);
const manifestSha256 = fc.constantFrom(...HASHES);
const entries = fc.uniqueArray(
  fc
    .record({
      ...{ model, version, manifestSha256 },
      nodes: fc.subarray(NODES),
      weight: fc.constantFrom(0, 0.3, 1),
      reason: fc.constantFrom('', 'unloaded'),
      isIdempotent: fc.boolean(),
      more: fc.constantFrom({}, { isOnDemand: true, costBytes: 9 }, { trafficRank: 3 }),
    })
    .map(({ more, ...one }) => entry(one.model, one.version, { ...one, ...more })),
  { selector: (one) => `${one.model} ${one.version}` },
);
const copies = fc.uniqueArray(
  fc.record({
    node: fc.constantFrom(0, 1, 2),
    copy: fc
      .record({ model, version, manifestSha256, state: fc.constantFrom(...STATES) })
      .map(({ model: name, version: number, state, manifestSha256: sha }) => {
        const { memoryBytes: _, ...held } = copy(name, number, state, { manifestSha256: sha });
        return held;
      }),
  }),
  { selector: (one) => `${one.node} ${one.copy.model} ${one.copy.version}` },
);

function shardOfAll(all: AssignmentShard['entries']): AssignmentShard {
  return { schema: 1, index: 7, epoch: 3, revision: 9, entries: all };
}

function numbersOf(ids: readonly string[]): NodeNumbers {
  const numbers = new NodeNumbers();
  for (const id of ids) numbers.of(id);
  return numbers;
}

const ordered = (all: AssignmentShard['entries']) =>
  [...all].sort((a, b) =>
    a.model === b.model ? a.version - b.version : a.model < b.model ? -1 : 1,
  );
const sorted = (all: Iterable<unknown>) => [...all].map((one) => JSON.stringify(one)).sort();

test('what goes in comes out, entries and copies', (t) => {
  const check = fc.property(entries, copies, (all, held) => {
    const shard = new PackedShard(shardOfAll(all), numbersOf(NODES));
    shard.replaceCopies(new Set([0, 1, 2]), held);
    const routed = all.map(({ costBytes, trafficRank, ...rest }) => rest);
    t.deepEqual(shard.unpacked(), shardOfAll(ordered(routed)));
    t.deepEqual(sorted(shard.copies()), sorted(held));
    for (const [at, name] of shard.names.entries()) {
      t.is(shard.indexOf(name), at);
      const own = held.filter(({ copy: one }) => one.model === name);
      t.deepEqual(sorted(shard.copiesOf(at)), sorted(own));
    }
  });
  t.notThrows(() => fc.assert(check, { numRuns: 300 }));
});

test('replacing what nodes hold tells the models that change, and leaves the rest', (t) => {
  const nodes = fc.subarray([0, 1, 2]);
  const check = fc.property(entries, copies, copies, nodes, (all, before, after, changed) => {
    const shard = new PackedShard(shardOfAll(all), numbersOf(NODES));
    shard.replaceCopies(new Set([0, 1, 2]), before);
    const of = (at: number) => sorted(shard.copiesOf(at));
    const old = shard.names.map((_, at) => of(at));
    const news = after.filter(({ node }) => changed.includes(node));
    const touched = shard.replaceCopies(new Set(changed), news);
    const kept = before.filter(({ node }) => !changed.includes(node));
    t.deepEqual(sorted(shard.copies()), sorted([...kept, ...news]));
    for (const at of shard.names.keys()) {
      if (!touched.has(at)) t.deepEqual(of(at), old[at]);
    }
  });
  t.notThrows(() => fc.assert(check, { numRuns: 300 }));
});

test('the same again touches nothing', (t) => {
  const shard = new PackedShard(shardOfAll([entry('a', 1), entry('b', 1)]), numbersOf(NODES));
  const held = [{ node: 1, copy: { ...copy('a', 1) } }];
  t.deepEqual([...shard.replaceCopies(new Set([1]), held)], [0]);
  t.deepEqual([...shard.replaceCopies(new Set([1]), held)], []);
  t.deepEqual([...shard.replaceCopies(new Set([2]), [])], []);
  t.deepEqual([...shard.replaceCopies(new Set([1]), [])], [0]);
});

test('a name that was known stays the same string', (t) => {
  const all = [entry('a', 1), entry('c', 1)];
  const before = new PackedShard(shardOfAll(all), new NodeNumbers());
  const next = new PackedShard(
    shardOfAll([entry('a', 2), entry('b', 1), entry('c', 3)]),
    new NodeNumbers(),
    before.names,
  );
  t.deepEqual(next.names, ['a', 'b', 'c']);
});
