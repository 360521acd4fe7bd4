import test from 'ava';
import fc from 'fast-check';
import type { ModelDoc, VersionDoc } from '../catalog/documents.ts';
import { newModel } from '../catalog/models.ts';
import type { AssignmentEntry, CopyRecord, NodeRecord } from '../registry/registry.ts';
import { REGISTRY_SCHEMA } from '../registry/registry.ts';
import { DeathBook } from './deaths.ts';
import { isServing, lostShare, type PlanInput, type PlannedModel, Plans, plan } from './plan.ts';
import { createRing } from './ring.ts';

const hashOf = (version: number): string => String(version).padStart(64, '0');

const node = (id: string, state: NodeRecord['state'] = 'SERVING'): NodeRecord => ({
  schema: REGISTRY_SCHEMA,
  id,
  incarnation: '1',
  address: '127.0.0.1:1',
  state,
  zone: '',
  memoryLimitBytes: 0,
});

const version = (number: number, given: Partial<VersionDoc> = {}): VersionDoc => ({
  schema: 1,
  model: 'm',
  version: number,
  state: 'READY',
  reason: '',
  manifestSha256: hashOf(number),
  platform: 'onnxruntime_onnx',
  inputs: [],
  outputs: [],
  sizeBytes: 1_000,
  metrics: {},
  labels: {},
  source: 'upload',
  createdMs: 0,
  ...given,
});

const model = (given: Partial<ModelDoc>, ...versions: VersionDoc[]): PlannedModel => ({
  model: { ...newModel('m', 0), ...given },
  versions,
});

const copy = (number: number, state: CopyRecord['state'] = 'READY'): CopyRecord => ({
  model: 'm',
  version: number,
  manifestSha256: hashOf(number),
  state,
  reason: '',
  memoryBytes: 0,
});

function run(given: Partial<PlanInput>): readonly AssignmentEntry[] {
  const nodes = given.nodes ?? [node('a'), node('b')];
  const ring = createRing(nodes.filter(isServing).map(({ id }) => id));
  return plan({ models: [], copies: new Map(), previous: [], ring, ...given, nodes });
}

const brief = (entries: readonly AssignmentEntry[]) =>
  entries.map(({ version, nodes, weight }) => [version, nodes.join(), weight]);

const [home = '', next = ''] = createRing(['a', 'b']).candidates('m');

test('the serving version gets the weight, others are reachable by number', (t) => {
  const models = [model({ servingVersion: 2, loadedVersions: [1, 2] }, version(2), version(1))];
  const entries = run({ models });
  t.deepEqual(
    entries.map(({ version, weight }) => [version, weight]),
    [
      [1, 0],
      [2, 1],
    ],
  );
  t.like(entries[1], { model: 'm', manifestSha256: hashOf(2), isIdempotent: true });
  t.true(entries.every(({ nodes }) => nodes.length === 1));
});

test('where no assignment is known, what is ready stays where it is and goes on serving', (t) => {
  const both = model(
    { servingVersion: 3, loadedVersions: [1, 2, 3] },
    ...[1, 2, 3].map((n) => version(n)),
  );
  const held = new Map([[next, [copy(1), copy(2)]]]);
  t.deepEqual(brief(run({ models: [both], copies: held })), [
    [1, next, 0],
    [2, next, 1],
    [3, home, 0],
  ]);
  const arrived = new Map([[next, [copy(2), copy(3)]]]);
  t.deepEqual(brief(run({ models: [both], copies: arrived })).at(-1), [3, next, 1]);
});

test('an unloaded model is known but placed nowhere, without weight', (t) => {
  const models = [model({ servingVersion: 1, loadedVersions: [] }, version(1))];
  const entries = run({ models });
  t.deepEqual(brief(entries), [[1, '', 0]]);
  t.is(entries[0]?.reason, 'unloaded');
});

test('a loaded model without any node is known and keeps its weight', (t) => {
  const models = [model({ servingVersion: 1, loadedVersions: [1] }, version(1))];
  const entries = run({ models, nodes: [] });
  t.deepEqual(brief(entries), [[1, '', 1]]);
  t.is(entries[0]?.reason, '');
});

test('a version in quarantine is placed nowhere', (t) => {
  const bad = version(1, { state: 'QUARANTINED', reason: 'it kills' });
  const entries = run({ models: [model({ servingVersion: 1, loadedVersions: [1] }, bad)] });
  t.deepEqual(brief(entries), [[1, '', 0]]);
  t.is(entries[0]?.reason, 'it kills');
});

test("a dead node's model goes to its next candidate, a draining one gives its own away", (t) => {
  const models = [model({ servingVersion: 1, loadedVersions: [1] }, version(1))];
  const previous = run({ models });
  t.deepEqual(brief(previous), [[1, home, 1]]);
  const copies = new Map([[home, [copy(1)]]]);
  t.deepEqual(brief(run({ models, previous, nodes: [node(next)] })), [[1, next, 1]]);
  const nodes = [node(home, 'DRAINING'), node(next)];
  t.deepEqual(brief(run({ models, previous, copies, nodes })), [[1, next, 1]]);
});

test('the version that served keeps the weight until the promoted one is ready', (t) => {
  const before = model({ servingVersion: 1, loadedVersions: [1] }, version(1));
  const first = run({ models: [before] });
  const models = [model({ servingVersion: 2, loadedVersions: [2] }, version(1), version(2))];
  const loading = new Map([[home, [copy(1), copy(2, 'LOADING')]]]);
  const second = run({ models, previous: first, copies: loading });
  t.deepEqual(
    second.map(({ version, weight }) => [version, weight]),
    [
      [1, 1],
      [2, 0],
    ],
  );
  const failed = new Map([[home, [copy(1), copy(2, 'FAILED')]]]);
  t.deepEqual(run({ models, previous: second, copies: failed }), second);
  const target = second[1]?.nodes[0] ?? '';
  const ready = new Map([[target, [copy(1), copy(2)]]]);
  const third = run({ models, previous: second, copies: ready });
  t.deepEqual(brief(third), [[2, target, 1]]);
});

test('a version that served but has no ready copy hands over at once', (t) => {
  const first = run({ models: [model({ servingVersion: 1, loadedVersions: [1] }, version(1))] });
  const models = [model({ servingVersion: 2, loadedVersions: [2] }, version(1), version(2))];
  t.deepEqual(
    run({ models, previous: first }).map((entry) => [entry.version, entry.weight]),
    [[2, 1]],
  );
});

test('a copy that moves stays on the old node until the new one is ready', (t) => {
  const others = Array.from({ length: 3 }, (_, at): PlannedModel => {
    const name = `other-${at}`;
    return {
      model: { ...newModel(name, 0), servingVersion: 1, loadedVersions: [1] },
      versions: [version(1, { model: name })],
    };
  });
  const models = [model({ servingVersion: 1, loadedVersions: [1] }, version(1)), ...others];
  const alone = run({ models, nodes: [node('a')] });
  t.true(alone.every(({ nodes }) => nodes.join() === 'a'));
  const copyOf = (entry: AssignmentEntry): CopyRecord => ({ ...copy(1), model: entry.model });
  const copies = new Map([['a', alone.map(copyOf)]]);
  const joined = run({ models, previous: alone, copies });
  const moving = joined.filter(({ nodes }) => nodes[0] === 'b');
  t.is(moving.length, 2);
  t.true(moving.every(({ nodes }) => nodes.join() === 'b,a'));
  t.deepEqual(run({ models, previous: joined, copies }), joined);
  copies.set('b', moving.map(copyOf));
  const done = run({ models, previous: joined, copies });
  t.deepEqual(done.filter(({ nodes }) => nodes.join() === 'b').length, 2);
});

test('a suspect says so, and gets few new copies at a time', (t) => {
  const policy = { ...newModel('m', 0).policy, minCopies: 3, maxCopies: 3 };
  const models = [model({ servingVersion: 1, loadedVersions: [1], policy }, version(1))];
  const nodes = ['a', 'b', 'c'].map((id) => node(id));
  const book = new DeathBook();
  const copies = new Map([['a', [{ ...copy(1, 'FAILED'), deaths: 2 }]]]);
  book.update({ nodes, copies, previous: [], nowMs: 0 });
  const [entry] = run({ models, nodes, copies, deaths: book });
  t.is(entry?.deaths, 2);
  t.is(entry?.nodes.length, 1, 'one more death is all there may be');
});

test('copies follow the policy, within the nodes there are', (t) => {
  const policy = { ...newModel('m', 0).policy, minCopies: 5, maxCopies: 5 };
  const models = [model({ servingVersion: 1, loadedVersions: [1], policy }, version(1))];
  t.deepEqual(brief(run({ models })), [[1, `${home},${next}`, 1]]);
});

test('a version made again with other content is not taken for the one before', (t) => {
  const first = run({ models: [model({ servingVersion: 1, loadedVersions: [1] }, version(1))] });
  const other = version(1, { manifestSha256: hashOf(99) });
  const models = [model({ servingVersion: 1, loadedVersions: [1] }, other)];
  const copies = new Map([[home, [copy(1)]]]);
  const entries = run({ models, previous: first, copies });
  t.deepEqual(
    entries.map(({ manifestSha256 }) => manifestSha256),
    [hashOf(99)],
  );
});

test('plans made one after another are those made from nothing, whatever changed', (t) => {
  const changes = fc.array(
    fc.record({ kind: fc.nat(6), at: fc.nat(11), node: fc.nat(5), hasNewList: fc.boolean() }),
    { maxLength: 25 },
  );
  fc.assert(
    fc.property(changes, (events) => {
      const plans = new Plans();
      const nodes = new Map([0, 1, 2].map((at) => [`n${at}`, node(`n${at}`)]));
      const models = new Map<string, PlannedModel>();
      let copies = new Map<string, CopyRecord[]>();
      let previous: readonly AssignmentEntry[] = [];
      for (const { kind, at, node: on, hasNewList } of events) {
        change(kind, `m${at}`, `n${on}`);
        const live = [...nodes.values()];
        const ring = createRing(live.filter(isServing).map(({ id }) => id));
        const input = { models: [...models.values()], nodes: live, copies, ring };
        const given = hasNewList ? [...previous] : previous;
        const made = plans.make({ ...input, previous: given });
        t.deepEqual(made, plan({ ...input, previous: given }));
        previous = made;
      }

      function change(kind: number, name: string, id: string): void {
        const doc = (number: number): VersionDoc => version(number, { model: name });
        const given = { ...newModel(name, 0), servingVersion: 1, loadedVersions: [1] };
        if (kind === 0) models.set(name, { model: given, versions: [doc(1)] });
        if (kind === 1) models.delete(name);
        if (kind === 2) {
          const next = { ...given, servingVersion: 2, loadedVersions: [1, 2] };
          models.set(name, { model: next, versions: [doc(1), doc(2)] });
        }
        if (kind === 3) nodes.set(id, node(id));
        if (kind === 4) nodes.set(id, node(id, 'DRAINING'));
        if (kind === 5 && nodes.delete(id)) copies.delete(id);
        if (kind !== 6 || !nodes.has(id)) return;
        const held = [...(copies.get(id) ?? [])];
        copies = new Map(copies).set(id, [
          ...held.filter(({ model }) => model !== name),
          { ...copy(1), model: name },
        ]);
      }
    }),
    { numRuns: 200 },
  );
});

test('entries that did not change are the same objects', (t) => {
  const plans = new Plans();
  const nodes = [node('a'), node('b')];
  const models = [model({ servingVersion: 1, loadedVersions: [1] }, version(1))];
  const input = { models, nodes, copies: new Map(), ring: createRing(['a', 'b']) };
  const first = plans.make({ ...input, previous: [] });
  const second = plans.make({ ...input, previous: first });
  t.is(second[0], first[0]);
  t.is(plans.make({ ...input, previous: second })[0], first[0]);
});

test('the share of copies that lost their node', (t) => {
  const entry = { ...run({ models: [] })[0], nodes: ['a', 'b'] } as AssignmentEntry;
  t.is(lostShare([entry, entry], [{ id: 'a' }]), 0.5);
  t.is(lostShare([], []), 0);
});

test('the load decides on copies within the bounds of the policy, and tells the rank', (t) => {
  const nodes = ['a', 'b', 'c', 'd'].map((id) => node(id));
  const plans = new Plans();
  const policy = { ...newModel('m', 0).policy, minCopies: 2, maxCopies: 3 };
  const models = [
    model({ servingVersion: 2, loadedVersions: [1, 2], policy }, version(1), version(2)),
  ];
  let previous: readonly AssignmentEntry[] = [];
  const copiesAt = (copies: number | undefined, trafficRank = 0): readonly number[] => {
    const size = copies === undefined ? undefined : { copies, trafficRank };
    const ring = createRing(nodes.map(({ id }) => id));
    const sizes = { get: () => size };
    previous = plans.make({ models, nodes, copies: new Map(), previous, ring, sizes });
    return previous.map((entry) => entry.nodes.length);
  };
  t.deepEqual(copiesAt(undefined), [2, 2]);
  t.false('trafficRank' in (previous[1] ?? {}));
  t.deepEqual(copiesAt(9, 3), [2, 3], 'the other version is called by its number');
  t.deepEqual(
    previous.map(({ trafficRank }) => trafficRank),
    [undefined, 3],
  );
  const kept = previous[1]?.nodes ?? [];
  t.deepEqual(copiesAt(1, 3), [2, 2]);
  t.deepEqual(previous[1]?.nodes, kept.slice(0, 2), 'the last ones leave');
  t.deepEqual(copiesAt(undefined), [2, 2]);
  t.false('trafficRank' in (previous[1] ?? {}));
});

test('a model without a least number of copies is on demand; a new version comes warm', (t) => {
  const policy = { ...newModel('m', 0).policy, minCopies: 0 };
  const first = model({ servingVersion: 1, loadedVersions: [1], policy }, version(1));
  const before = run({ models: [first] });
  t.like(before[0], { version: 1, weight: 1, isOnDemand: true });
  t.deepEqual([before[0]?.nodes.length, before[0]?.reason], [1, '']);
  t.true((before[0]?.costBytes ?? 0) >= 1_500 && (before[0]?.costBytes ?? 0) <= 1_700);
  const both = model({ servingVersion: 2, loadedVersions: [2], policy }, version(1), version(2));
  const holder = before[0]?.nodes[0] ?? '';
  const held = new Map([[holder, [copy(1)]]]);
  const during = run({ models: [both], copies: held, previous: before });
  t.deepEqual(
    during.map((entry) => [entry.version, entry.weight, entry.isOnDemand ?? false]),
    [
      [1, 1, true],
      [2, 0, false],
    ],
  );
  const ready = new Map([[holder, [copy(1), copy(2)]]]);
  const after = run({ models: [both], copies: ready, previous: during });
  t.deepEqual(
    after.map((entry) => [entry.version, entry.weight, entry.isOnDemand ?? false]),
    [[2, 1, true]],
  );
  const cold = run({ models: [both], previous: before });
  t.deepEqual(
    cold.map((entry) => [entry.version, entry.weight, entry.isOnDemand]),
    [[2, 1, true]],
  );
});

test('models on demand are placed beyond the memory limit, others never', (t) => {
  const nodes = [{ ...node('a'), memoryLimitBytes: 4_000 }];
  const of = (name: string, minCopies: number): PlannedModel => {
    const policy = { ...newModel(name, 0).policy, minCopies };
    const given = { policy, servingVersion: 1, loadedVersions: [1] };
    return {
      model: { ...newModel(name, 0), ...given },
      versions: [version(1, { model: name })],
    };
  };
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const placed = (minCopies: number) =>
    run({ nodes, models: names.map((name) => of(name, minCopies)) }).flatMap((one) => one.nodes);
  t.is(placed(0).length, 6);
  t.is(placed(1).length, 2);
});
