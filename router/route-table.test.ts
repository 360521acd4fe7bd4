import test from 'ava';
import fc from 'fast-check';
import { Code } from '../common/status.ts';
import type { CopyState } from '../registry/registry.ts';
import { copy, entry, node, plan } from '../test/support/small-cluster.ts';
import { type Resolution, RouteTable } from './route-table.ts';

function tableOf(
  entries: Parameters<typeof plan>[0],
  copies: Record<string, readonly ReturnType<typeof copy>[]>,
  draining: readonly string[] = [],
): RouteTable {
  const table = new RouteTable();
  table.addShards(plan(entries));
  const nodes = Object.keys(copies).map((id) =>
    node(id, { state: draining.includes(id) ? 'DRAINING' : 'SERVING' }),
  );
  table.setNodes(nodes, new Map(Object.entries(copies)));
  return table;
}

const half = (): number => 0.5;

function told(resolution: Resolution): string {
  if (resolution.kind === 'refused') return resolution.error.message;
  return resolution.kind === 'ready' ? resolution.nodes.join() : 'waiting';
}

test('READY copies on serving nodes take calls, others do not', (t) => {
  const table = tableOf(
    [entry('m', 1, { nodes: ['a', 'b', 'c', 'd'] })],
    { a: [copy('m', 1)], b: [copy('m', 1, 'LOADING')], c: [copy('m', 1)], d: [copy('m', 1)] },
    ['d'],
  );
  t.is(told(table.resolve('m', undefined, half)), 'a,c');
  t.is(told(table.resolve('m', 1, half)), 'a,c');
});

test('a draining node serves on while nobody else can, and no longer', (t) => {
  const table = new RouteTable();
  table.addShards(plan([entry('m', 1, { nodes: ['b'] })]));
  const nodes = [node('a', { state: 'DRAINING' }), node('b')];
  const held = (state: CopyState) =>
    new Map([
      ['a', [copy('m', 1)]],
      ['b', [copy('m', 1, state)]],
    ]);
  table.setNodes(nodes, held('LOADING'));
  t.like(
    table.resolve('m', undefined, () => 0),
    { kind: 'ready', nodes: ['a'] },
  );
  table.setNodes(nodes, held('READY'));
  t.like(
    table.resolve('m', undefined, () => 0),
    { kind: 'ready', nodes: ['b'] },
  );
});

test('a copy of other content than assigned is not used', (t) => {
  const other = copy('m', 1, 'READY', { manifestSha256: 'b'.repeat(64) });
  t.is(told(tableOf([entry('m', 1)], { a: [other] }).resolve('m', 1, half)), 'waiting');
});

test('unknown models and versions are told apart, in the words that clients know', (t) => {
  const table = tableOf([entry('m', 1, { weight: 0 })], { a: [copy('m', 1)] });
  const of = (model: string, version?: number) => told(table.resolve(model, version, half));
  t.is(of('x'), "Request for unknown model: 'x' is not found");
  t.is(of('m', 7), "Request for unknown model: 'm' version 7 is not found");
  t.is(of('m'), "Request for unknown model: 'm' has no available versions");
  t.is(of('m', 1), 'a');
  t.true(of('y'.repeat(1000)).length < 200);
});

test('before the first plan was read nothing is known to be unknown', (t) => {
  const table = new RouteTable();
  t.is(told(table.resolve('x', undefined, half)), 'waiting');
  table.addShards(plan([]).slice(1));
  t.is(told(table.resolve('x', undefined, half)), 'waiting');
  table.addShards(plan([]).slice(0, 1));
  t.is(table.resolve('x', undefined, half).kind, 'refused');
});

test('calls without a version are shared by weight among the READY versions', (t) => {
  const entries = [entry('m', 1, { weight: 0.9 }), entry('m', 2, { weight: 0.1 })];
  const both = tableOf(entries, { a: [copy('m', 1)], b: [copy('m', 2)] });
  t.is(told(both.resolve('m', undefined, () => 0.89)), 'a');
  t.is(told(both.resolve('m', undefined, () => 0.91)), 'b');
  const one = tableOf(entries, { a: [copy('m', 1)], b: [copy('m', 2, 'LOADING')] });
  t.is(told(one.resolve('m', undefined, () => 0.91)), 'a');
  const resolution = both.resolve('m', undefined, half);
  t.true(resolution.kind === 'ready' && resolution.isOneOfSeveral);
});

test('while its successor loads, a version that left the assignment serves on', (t) => {
  const before = tableOf([entry('m', 2)], { a: [copy('m', 1), copy('m', 2, 'LOADING')] });
  t.is(told(before.resolve('m', undefined, half)), 'a');
  const after = tableOf([entry('m', 2)], { a: [copy('m', 1)], b: [copy('m', 2)] });
  t.is(told(after.resolve('m', undefined, half)), 'b');
});

test('a version that failed wherever it should be is refused at once, with the reason', (t) => {
  const nodes = ['a', 'b'];
  const failed = tableOf([entry('m', 1, { nodes })], {
    a: [copy('m', 1, 'FAILED')],
    b: [copy('m', 1, 'FAILED')],
  });
  const resolution = failed.resolve('m', undefined, half);
  t.true(resolution.kind === 'refused' && resolution.error.code === Code.UNAVAILABLE);
  t.regex(told(resolution), /'m' version 1 is not at ready state \(FAILED: corrupt file\)/);
  t.true(failed.isSettled);
  const hopeful = tableOf([entry('m', 1, { nodes })], { a: [copy('m', 1, 'FAILED')] });
  t.is(told(hopeful.resolve('m', 1, half)), 'waiting');
  t.false(hopeful.isSettled);
});

test('an older assignment is refused, shard by shard', (t) => {
  const table = new RouteTable();
  table.addShards(plan([entry('m', 1)], 5, 2));
  table.addShards(plan([entry('old', 1)], 9, 1));
  table.addShards(plan([entry('old', 1)], 4, 2));
  t.true(table.isKnown('m'));
  t.false(table.isKnown('old'));
  table.addShards(plan([entry('new', 1)], 1, 3));
  t.deepEqual([table.isKnown('m'), table.isKnown('new')], [false, true]);
});

test('the index tells every version with its state', (t) => {
  const nodes = ['a'];
  const table = tableOf([entry('b', 1), entry('a', 2), entry('a', 1, { nodes }), entry('c', 1)], {
    a: [copy('a', 1, 'FAILED'), copy('b', 1), copy('c', 1, 'UNLOADING')],
  });
  t.deepEqual(
    table.index().map(({ model, version, state, reason }) => [model, version, state, reason]),
    [
      ['a', 1, 'UNAVAILABLE', 'corrupt file'],
      ['a', 2, 'LOADING', ''],
      ['b', 1, 'READY', ''],
      ['c', 1, 'UNLOADING', ''],
    ],
  );
});

test('a version that is placed nowhere on purpose is UNAVAILABLE, with the reason', (t) => {
  const away = { weight: 0, nodes: [] };
  const table = tableOf(
    [
      entry('ill', 1, { ...away, reason: 'in quarantine' }),
      entry('old', 1, { ...away, reason: 'unloaded' }),
      entry('old', 2, { ...away, reason: 'unloaded' }),
      entry('gone', 1, { ...away, reason: 'unloaded' }),
    ],
    { a: [copy('old', 2, 'UNLOADING')], b: [copy('gone', 1), copy('gone', 0)] },
  );
  t.deepEqual(
    table.index().map(({ model, version, state, reason }) => [model, version, state, reason]),
    [
      ['gone', 0, 'UNLOADING', ''],
      ['gone', 1, 'UNLOADING', ''],
      ['ill', 1, 'UNAVAILABLE', 'in quarantine'],
      ['old', 1, 'UNAVAILABLE', 'unloaded'],
      ['old', 2, 'UNLOADING', ''],
    ],
  );
  const of = (model: string, version?: number) => told(table.resolve(model, version, half));
  const unknown = (rest: string) => `Request for unknown model: ${rest}`;
  t.is(of('ill'), unknown("'ill' has no available versions (version 1: in quarantine)"));
  t.is(of('ill', 1), unknown("'ill' version 1 is not at ready state (in quarantine)"));
  t.is(of('old'), unknown("'old' has no available versions"));
  t.is(of('old', 1), unknown("'old' version 1 is not at ready state (unloaded)"));
  // Its node has not let go of it yet.
  t.is(of('gone', 1), unknown("'gone' version 1 is not at ready state (unloaded)"));
  // Nor of the one that it had replaced just before.
  t.is(of('gone', 0), unknown("'gone' version 0 is not at ready state (unloaded)"));
  t.is(of('gone'), unknown("'gone' has no available versions"));
  t.true(table.isSettled);
});

test('a table that followed every change answers as one that was told the end', (t) => {
  const models = ['m', 'n', 'o'];
  const ids = ['a', 'b', 'c'];
  const states: CopyState[] = ['LOADING', 'READY', 'UNLOADING', 'FAILED'];
  const version = fc.constantFrom(1, 2);
  const model = fc.constantFrom(...models);
  const reason = fc.constantFrom('', 'unloaded');
  const held = fc.array(fc.record({ model, version, state: fc.constantFrom(...states) }), {
    maxLength: 4,
  });
  const assigned = fc.uniqueArray(
    fc.record({
      ...{ model, version, reason },
      weight: fc.constantFrom(0, 1),
      nodes: fc.subarray(ids),
    }),
    { selector: (one) => `${one.model} ${one.version}` },
  );
  const step = fc.oneof(
    fc.record({ kind: fc.constant('assign' as const), assigned }),
    fc.record({ kind: fc.constant('nodes' as const), live: fc.subarray(ids) }),
    fc.record({ kind: fc.constant('drain' as const), id: fc.constantFrom(...ids) }),
    fc.record({ kind: fc.constant('copies' as const), id: fc.constantFrom(...ids), held }),
  );
  const check = fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
    const table = new RouteTable();
    let live = new Map<string, ReturnType<typeof node>>();
    const copies = new Map<string, readonly ReturnType<typeof copy>[]>();
    let entries: ReturnType<typeof plan> = [];
    for (const [at, one] of steps.entries()) {
      if (one.kind === 'assign') {
        entries = plan(
          one.assigned.map((part) => entry(part.model, part.version, part)),
          at + 1,
        );
        table.addShards(entries);
        continue;
      }
      if (one.kind === 'nodes') {
        live = new Map(one.live.map((id) => [id, live.get(id) ?? node(id)]));
        for (const id of ids) if (!live.has(id)) copies.delete(id);
      } else if (one.kind === 'drain') {
        if (live.has(one.id)) live.set(one.id, node(one.id, { state: 'DRAINING' }));
      } else if (live.has(one.id)) {
        copies.set(
          one.id,
          one.held.map((part) => copy(part.model, part.version, part.state)),
        );
      }
      const changed = one.kind === 'copies' ? copies.get(one.id) : undefined;
      const news = new Map(one.kind === 'copies' && changed ? [[one.id, changed]] : []);
      table.setNodes([...live.values()], news);
    }
    const fresh = new RouteTable();
    fresh.setNodes([...live.values()], copies);
    fresh.addShards(entries);
    t.deepEqual(table.index(), fresh.index());
    t.deepEqual([...table.readyNodes()].sort(), [...fresh.readyNodes()].sort());
    t.is(table.isSettled, fresh.isSettled);
    for (const name of models) {
      t.deepEqual(table.index(name), fresh.index(name));
      for (const asked of [undefined, 1, 2]) {
        const of = (one: RouteTable) => outcome(one.resolve(name, asked, half));
        t.is(of(table), of(fresh));
      }
    }
  });
  t.notThrows(() => fc.assert(check, { numRuns: 500 }));
});

/** Nodes in any order. */
function outcome(resolution: Resolution): string {
  if (resolution.kind !== 'ready') return told(resolution);
  return JSON.stringify({ ...resolution, nodes: [...resolution.nodes].sort() });
}

test('whatever the registry says, calls only go to live serving nodes with a READY copy', (t) => {
  const ids = ['a', 'b', 'c'];
  const states: CopyState[] = ['LOADING', 'READY', 'UNLOADING', 'FAILED', 'QUARANTINED'];
  const version = fc.integer({ min: 1, max: 3 });
  const copies = fc.array(
    fc.record({ id: fc.constantFrom(...ids), version, state: fc.constantFrom(...states) }),
  );
  const entries = fc.uniqueArray(
    fc.record({ version, weight: fc.constantFrom(0, 0.3, 1), nodes: fc.subarray(ids) }),
    { selector: (one) => one.version },
  );
  const wanted = fc.option(version, { nil: undefined });
  const share = fc.double({ min: 0, max: 0.999, noNaN: true });
  const check = fc.property(
    copies,
    entries,
    wanted,
    fc.subarray(ids),
    share,
    (held, assigned, asked, live, random) => {
      const byNode = new Map(
        live.map((id) => [
          id,
          held.filter((one) => one.id === id).map((one) => copy('m', one.version, one.state)),
        ]),
      );
      const table = new RouteTable();
      table.addShards(plan(assigned.map((one) => entry('m', one.version, one))));
      table.setNodes(
        live.map((id) => node(id)),
        byNode,
      );
      const resolution = table.resolve('m', asked, () => random);
      if (resolution.kind !== 'ready') return true;
      if (asked !== undefined && resolution.version !== asked) return false;
      return (
        resolution.nodes.length > 0 &&
        resolution.nodes.every((id) =>
          byNode
            .get(id)
            ?.some((one) => one.version === resolution.version && one.state === 'READY'),
        )
      );
    },
  );
  t.notThrows(() => fc.assert(check, { numRuns: 500 }));
});
