import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import fc from 'fast-check';
import { type Demand, LOAD_BOUND, type PlacementNode, place } from './placement.ts';
import { createRing, type Ring } from './ring.ts';

const node = (id: string, given: Partial<PlacementNode> = {}): PlacementNode => ({
  id,
  zone: '',
  memoryLimitBytes: 0,
  ...given,
});

const demand = (model: string, given: Partial<Demand> = {}): Demand => ({
  key: `${model}/1`,
  model,
  costBytes: 100,
  copies: 1,
  spreadsZones: false,
  holders: [],
  ...given,
});

/** Node ids by the demand's key. */
type Placement = ReadonlyMap<string, readonly string[]>;

const rings = new Map<string, Ring>();

function run(demands: readonly Demand[], nodes: readonly PlacementNode[]): Placement {
  const ids = nodes.map(({ id }) => id).sort();
  const ring = rings.get(ids.join()) ?? createRing(ids);
  rings.set(ids.join(), ring);
  const placed = place(demands, nodes, ring);
  return new Map(demands.map(({ key }, at) => [key, placed[at] ?? []]));
}

const held = (demands: readonly Demand[], placement: Placement): Demand[] =>
  demands.map((one) => ({ ...one, holders: placement.get(one.key) ?? [] }));

function loads(
  demands: readonly Demand[],
  nodes: readonly PlacementNode[],
  placement: Placement,
): number[] {
  return nodes.map(({ id }) =>
    demands
      .filter(({ key }) => placement.get(key)?.includes(id) === true)
      .reduce((sum, { costBytes }) => sum + costBytes, 0),
  );
}

const arbitraryNodes = fc
  .integer({ min: 1, max: 8 })
  .map((count) => Array.from({ length: count }, (_, at) => node(`node-${at}`)));

const arbitraryDemands = fc
  .array(
    fc.record({ cost: fc.integer({ min: 1, max: 1_000 }), copies: fc.integer({ min: 1, max: 3 }) }),
    {
      maxLength: 60,
    },
  )
  .map((list) =>
    list.map(({ cost, copies }, at) => demand(`model-${at}`, { costBytes: cost, copies })),
  );

test('every demand gets its copies, on distinct live nodes, the same each time', (t) => {
  fc.assert(
    fc.property(arbitraryDemands, arbitraryNodes, (demands, nodes) => {
      const placement = run(demands, nodes);
      const live = new Set(nodes.map(({ id }) => id));
      const wrong = demands.filter(({ key, copies }) => {
        const found = placement.get(key) ?? [];
        const isWhole = found.length === Math.min(copies, nodes.length);
        return !isWhole || new Set(found).size < found.length || !found.every((id) => live.has(id));
      });
      t.deepEqual(wrong, []);
      t.true(isDeepStrictEqual(run([...demands].reverse(), [...nodes].reverse()), placement));
    }),
    { numRuns: 100 },
  );
});

test('no node bears more than the bound, or the mean and one model where that is more', (t) => {
  fc.assert(
    fc.property(arbitraryDemands, arbitraryNodes, (demands, nodes) => {
      const single = demands.map((one) => ({ ...one, copies: 1 }));
      const costs = single.map(({ costBytes }) => costBytes);
      const mean = costs.reduce((sum, cost) => sum + cost, 0) / nodes.length;
      const most = Math.max(...loads(single, nodes, run(single, nodes)));
      t.true(most <= Math.max(LOAD_BOUND * mean, mean + Math.max(0, ...costs)));
    }),
    { numRuns: 150 },
  );
});

test('planning again on what was planned moves nothing, through joins and leaves', (t) => {
  const events = fc.array(fc.nat(7), { maxLength: 8 });
  fc.assert(
    fc.property(arbitraryDemands, events, (demands, toggles) => {
      const live = new Set(['node-0', 'node-1', 'node-2']);
      let known: readonly Demand[] = demands;
      for (const at of toggles) {
        const id = `node-${at}`;
        if (!live.delete(id)) live.add(id);
        const nodes = [...live].sort().map((one) => node(one));
        const placement = run(known, nodes);
        known = held(demands, placement);
        t.true(isDeepStrictEqual(run(known, nodes), placement));
      }
    }),
    { numRuns: 100 },
  );
});

test('a node that leaves moves its own copies and no others', (t) => {
  const nodes = Array.from({ length: 8 }, (_, at) => node(`node-${at}`));
  const demands = Array.from({ length: 200 }, (_, at) =>
    demand(`model-${at}`, { costBytes: 50 + ((at * 37) % 100) }),
  );
  const before = run(demands, nodes);
  const left = nodes.filter(({ id }) => id !== 'node-3');
  const after = run(held(demands, before), left);
  let moved = 0;
  for (const { key } of demands) {
    if (before.get(key)?.includes('node-3') === true) moved += 1;
    else t.deepEqual(after.get(key), before.get(key));
  }
  t.true(moved > 0);
  t.true(Math.max(...loads(demands, left, after)) <= (LOAD_BOUND * 20_000) / 7);
});

test('a node that joins takes no more than brings the others under the bound', (t) => {
  const nodes = Array.from({ length: 2 }, (_, at) => node(`node-${at}`));
  const demands = Array.from({ length: 100 }, (_, at) => demand(`model-${at}`));
  const before = run(demands, nodes);
  const more = [...nodes, node('node-2')];
  const after = run(held(demands, before), more);
  const moved = demands.filter(({ key }) => after.get(key)?.[0] !== before.get(key)?.[0]);
  t.true(moved.every(({ key }) => after.get(key)?.[0] === 'node-2'));
  const bound = Math.floor((LOAD_BOUND * 100) / 3);
  const excess = loads(demands, nodes, before).reduce(
    (sum, load) => sum + Math.max(0, load / 100 - bound),
    0,
  );
  t.is(moved.length, excess);
});

test('a few models go to their homes when the bound allows it', (t) => {
  const nodes = [node('node-0'), node('node-1')];
  const home = createRing(['node-0', 'node-1']).candidates('digits')[0];
  t.deepEqual(run([demand('digits')], nodes).get('digits/1'), [home]);
  t.deepEqual(run([demand('digits', { copies: 5 })], nodes).get('digits/1')?.length, 2);
  t.deepEqual(run([demand('digits')], []).get('digits/1'), []);
});

test('memory limits hold, and what has no room finds no place', (t) => {
  const nodes = [node('a', { memoryLimitBytes: 150 }), node('b', { memoryLimitBytes: 250 })];
  const demands = ['x', 'y', 'z', 'w'].map((model) => demand(model));
  const placement = run(demands, nodes);
  t.deepEqual(loads(demands, nodes, placement), [100, 200]);
  t.is([...placement.values()].filter((ids) => ids.length === 0).length, 1);
});

test('copies go to different zones while there are some left', (t) => {
  const nodes = ['a', 'b', 'c', 'd'].map((id, at) => node(id, { zone: at < 3 ? 'z1' : 'z2' }));
  for (let at = 0; at < 20; at += 1) {
    const wanted = demand(`m${at}`, { copies: 2, spreadsZones: true });
    t.true(run([wanted], nodes).get(wanted.key)?.includes('d') === true);
    t.is(run([{ ...wanted, copies: 3 }], nodes).get(wanted.key)?.length, 3);
  }
});
