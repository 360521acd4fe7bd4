// What every registry promises, run over each implementation by its own test file.
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentShard,
  type CopyRecord,
  type Lease,
  MAX_LOADS_OF_NODE,
  type NodeRecord,
  REGISTRY_SCHEMA,
  type Registry,
} from './registry.ts';
import { watchTests } from './watching.contract.ts';

export interface RegistryUnderTest {
  /** Two clients of one empty registry (the same object where there is only one). */
  readonly registry: Registry;
  readonly other: Registry;
  /** Lets the registry's time pass. */
  advance(byMs: number): Promise<void>;
  /** A TTL that a test lets run out. */
  readonly shortMs: number;
  /** One that lasts from one call to the next, however busy the machine, and then runs out. */
  readonly roomyMs: number;
  end(): Promise<void>;
}

export type Body = (t: ExecutionContext, under: RegistryUnderTest) => Promise<void>;

/** Longer than any test. */
const LONG_MS = 600_000;

function nodeRecord(id: string, incarnation = 'i1'): NodeRecord {
  return {
    schema: REGISTRY_SCHEMA,
    id,
    incarnation,
    address: '127.0.0.1:8011',
    state: 'SERVING',
    zone: '',
    memoryLimitBytes: 0,
  };
}

function copy(model: string): CopyRecord {
  const manifestSha256 = 'a'.repeat(64);
  return { model, version: 1, manifestSha256, state: 'READY', reason: '', memoryBytes: 5 };
}

function shard(index: number, epoch: number, revision: number): AssignmentShard {
  const entry = {
    model: `m${index}`,
    version: revision,
    manifestSha256: 'b'.repeat(64),
    nodes: ['n2', 'n1'],
    weight: 1,
    reason: '',
    isIdempotent: true,
  };
  const later = { isHedged: true, isOnDemand: true, costBytes: 1_024, trafficRank: 3 };
  const entries = [entry, { ...entry, ...later, model: `n${index}` }];
  return { schema: REGISTRY_SCHEMA, index, epoch, revision, entries };
}

const nodeTests: Record<string, Body> = {
  'a node is known with its copies': async (t, { registry, other }) => {
    await registry.putNode(nodeRecord('n2'), [copy('digits')], LONG_MS);
    await registry.putNode(nodeRecord('n1'), [], LONG_MS);
    t.deepEqual(await other.nodes(), [nodeRecord('n1'), nodeRecord('n2')]);
    const copies = await other.copies();
    t.deepEqual(copies.get('n2'), [copy('digits')]);
    t.deepEqual(copies.get('n1'), []);
    t.is(copies.size, 2);
  },
  'only what changed need be read again': async (t, { registry, other }) => {
    await registry.putNode(nodeRecord('n1'), [copy('a')], LONG_MS);
    await registry.putNode(nodeRecord('n2'), [copy('b')], LONG_MS);
    const before = await other.copyStamps();
    t.deepEqual([...before.keys()].sort(), ['n1', 'n2']);
    t.true(await registry.putCopies('n2', 'i1', [copy('b'), copy('c')]));
    const after = await other.copyStamps();
    t.is(after.get('n1'), before.get('n1'));
    t.not(after.get('n2'), before.get('n2'));
    const found = await other.copiesOf(['n2', 'n3']);
    t.deepEqual(found.get('n2'), {
      stamp: after.get('n2') ?? '',
      copies: [copy('b'), copy('c')],
    });
    t.is(found.get('n3'), undefined);
    t.is((await other.copiesOf([])).size, 0);
  },
  'what nodes say of their load is read of those that live': async (t, under) => {
    const { registry, other, advance, shortMs } = under;
    const load = { model: 'a', version: 2, callsPerSecond: 12.5, serviceMs: 0.7, queued: 3 };
    t.false(await registry.putLoads('n1', 'i1', [load]));
    await registry.putNode(nodeRecord('n1'), [], LONG_MS);
    await registry.putNode(nodeRecord('n2'), [], LONG_MS);
    t.false(await registry.putLoads('n1', 'another', []));
    t.is((await other.loadsOf(['n1'])).get('n1'), undefined);
    t.true(await registry.putLoads('n1', 'i1', [load]));
    t.true(await registry.putLoads('n2', 'i1', [load, { ...load, version: 3 }]));
    const found = await other.loadsOf(['n1', 'n2', 'n3']);
    t.deepEqual(found.get('n1'), [load]);
    t.is(found.get('n2')?.length, 2);
    t.is(found.get('n3'), undefined);
    t.true(await registry.putLoads('n1', 'i1', []));
    t.deepEqual((await other.loadsOf(['n1'])).get('n1'), []);
    t.true(await registry.heartbeat('n2', 'i1', shortMs));
    await advance(shortMs + 1);
    await other.nodes();
    t.is((await other.loadsOf(['n1', 'n2'])).get('n2'), undefined);
    t.is((await other.loadsOf([])).size, 0);
    const many = Array.from({ length: MAX_LOADS_OF_NODE + 1 }, () => load);
    const refused = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
    await t.throwsAsync(registry.putLoads('n1', 'i1', many), refused);
  },
  'a node that is silent for its TTL is gone with its copies': async (t, under) => {
    const { registry, other, advance, shortMs } = under;
    await registry.putNode(nodeRecord('n1'), [copy('digits')], shortMs);
    await registry.putNode(nodeRecord('n2'), [], LONG_MS);
    await advance(shortMs + 1);
    t.deepEqual(await other.nodes(), [nodeRecord('n2')]);
    t.deepEqual([...(await other.copies()).keys()], ['n2']);
    t.false(await registry.heartbeat('n1', 'i1', LONG_MS));
    t.false(await registry.putCopies('n1', 'i1', []));
    t.deepEqual(await registry.nodes(), [nodeRecord('n2')]);
  },
  'heartbeats keep a node alive': async (t, { registry, advance, roomyMs }) => {
    await registry.putNode(nodeRecord('n1'), [copy('digits')], roomyMs);
    t.true(await registry.heartbeat('n1', 'i1', LONG_MS));
    await advance(roomyMs + 1);
    t.true(await registry.heartbeat('n1', 'i1', LONG_MS));
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
    t.deepEqual((await registry.copies()).get('n1'), [copy('digits')]);
  },
  'its TTL counts from the last heartbeat': async (t, { registry, advance, shortMs }) => {
    await registry.putNode(nodeRecord('n1'), [], LONG_MS);
    t.true(await registry.heartbeat('n1', 'i1', shortMs));
    await advance(shortMs + 1);
    t.deepEqual(await registry.nodes(), []);
  },
  'copies replace what was said before': async (t, { registry, other }) => {
    await registry.putNode(nodeRecord('n1'), [copy('a')], LONG_MS);
    t.deepEqual((await other.copies()).get('n1'), [copy('a')]);
    t.true(await registry.putCopies('n1', 'i1', [copy('b'), copy('c')]));
    t.deepEqual((await other.copies()).get('n1'), [copy('b'), copy('c')]);
    t.true(await registry.putCopies('n1', 'i1', [copy('a')]));
    t.deepEqual((await other.copies()).get('n1'), [copy('a')]);
  },
  'what a node says comes back as it was': async (t, { registry, other }) => {
    const reason = `a "quoted"\nline, \u{1f600} and { } [ ] \\ ${'x'.repeat(5_000)}`;
    const failed: CopyRecord = { ...copy('m'), state: 'FAILED', reason, memoryBytes: 2 ** 40 };
    const node: NodeRecord = { ...nodeRecord('odd.-_1'), state: 'DRAINING', zone: 'z\u00e9 1' };
    await registry.putNode(node, [failed], LONG_MS);
    t.deepEqual(await other.nodes(), [node]);
    t.deepEqual((await other.copies()).get('odd.-_1'), [failed]);
  },
  'a restarted node displaces the one that died': async (t, { registry }) => {
    await registry.putNode(nodeRecord('n1', 'old'), [copy('a')], LONG_MS);
    await registry.putNode(nodeRecord('n1', 'new'), [], LONG_MS);
    t.false(await registry.heartbeat('n1', 'old', LONG_MS));
    t.false(await registry.putCopies('n1', 'old', [copy('a')]));
    await registry.removeNode('n1', 'old');
    t.deepEqual(await registry.nodes(), [nodeRecord('n1', 'new')]);
    t.deepEqual((await registry.copies()).get('n1'), []);
  },
  'of two incarnations that start at once one is there, whole': async (t, under) => {
    const { registry, other } = under;
    await Promise.all([
      registry.putNode(nodeRecord('n1', 'i1'), [copy('i1')], LONG_MS),
      other.putNode(nodeRecord('n1', 'i2'), [copy('i2')], LONG_MS),
    ]);
    const [node] = await registry.nodes();
    const winner = node?.incarnation ?? '';
    t.deepEqual((await registry.copies()).get('n1'), [copy(winner)]);
    t.true(await registry.heartbeat('n1', winner, LONG_MS));
    t.false(await other.heartbeat('n1', winner === 'i1' ? 'i2' : 'i1', LONG_MS));
  },
  'a node that leaves is gone at once': async (t, { registry, other }) => {
    await registry.putNode(nodeRecord('n1'), [copy('a')], LONG_MS);
    await registry.removeNode('n1', 'i1');
    t.deepEqual(await other.nodes(), []);
    t.is((await other.copies()).size, 0);
  },
};

const leaseOf = (owner: string, epoch: number): Lease => ({ name: 'leader', owner, epoch });

const leaseTests: Record<string, Body> = {
  'one owner at a time': async (t, { registry, other }) => {
    t.is(await registry.lease('leader'), undefined);
    t.true(await registry.acquireLease(leaseOf('a', 1), LONG_MS));
    t.false(await other.acquireLease(leaseOf('b', 2), LONG_MS));
    t.false(await other.renewLease(leaseOf('b', 2), LONG_MS));
    t.deepEqual(await other.lease('leader'), leaseOf('a', 1));
    t.true(await other.acquireLease({ name: 'job', owner: 'b', epoch: 1 }, LONG_MS));
  },
  'of many that ask at once one gets it, each time': async (t, { registry, other }) => {
    const owners = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (let round = 1; round <= 10; round += 1) {
      const asked = owners.map(async (owner, index) => {
        const lease = leaseOf(owner, round * owners.length + index);
        const isOurs = await (index % 2 === 0 ? registry : other).acquireLease(lease, LONG_MS);
        return isOurs ? lease : undefined;
      });
      const winners = (await Promise.all(asked)).filter((lease) => lease !== undefined);
      t.is(winners.length, 1);
      const [winner] = winners;
      t.deepEqual(await other.lease('leader'), winner);
      if (winner !== undefined) await other.releaseLease(winner);
    }
  },
  'an expired lease is free, and lost to its owner': async (t, under) => {
    const { registry, other, advance, shortMs } = under;
    await registry.acquireLease(leaseOf('a', 1), shortMs);
    await advance(shortMs + 1);
    t.is(await registry.lease('leader'), undefined);
    t.false(await registry.renewLease(leaseOf('a', 1), LONG_MS));
    t.true(await other.acquireLease(leaseOf('b', 2), LONG_MS));
    await registry.releaseLease(leaseOf('a', 1));
    t.deepEqual(await registry.lease('leader'), leaseOf('b', 2));
  },
  'renewal keeps it; the owner may take it again with a new epoch': async (t, under) => {
    const { registry, advance, roomyMs } = under;
    await registry.acquireLease(leaseOf('a', 1), roomyMs);
    t.true(await registry.renewLease(leaseOf('a', 1), LONG_MS));
    await advance(roomyMs + 1);
    t.true(await registry.renewLease(leaseOf('a', 1), LONG_MS));
    t.true(await registry.acquireLease(leaseOf('a', 2), LONG_MS));
    t.false(await registry.renewLease(leaseOf('a', 1), LONG_MS));
    t.deepEqual(await registry.lease('leader'), leaseOf('a', 2));
  },
  'a released lease is free at once': async (t, { registry, other }) => {
    await registry.acquireLease(leaseOf('a', 1), LONG_MS);
    await other.releaseLease(leaseOf('b', 1));
    await other.releaseLease(leaseOf('a', 2));
    t.false(await other.acquireLease(leaseOf('b', 2), LONG_MS));
    await registry.releaseLease(leaseOf('a', 1));
    t.true(await other.acquireLease(leaseOf('b', 2), LONG_MS));
  },
  'an epoch before one that held it is refused': async (t, under) => {
    const { registry, other, advance, shortMs } = under;
    await registry.acquireLease(leaseOf('a', 7), LONG_MS);
    t.false(await registry.acquireLease(leaseOf('a', 6), LONG_MS));
    t.deepEqual(await other.lease('leader'), leaseOf('a', 7));
    await registry.releaseLease(leaseOf('a', 7));
    t.false(await other.acquireLease(leaseOf('b', 6), LONG_MS));
    t.true(await other.acquireLease(leaseOf('b', 7), shortMs));
    await advance(shortMs + 1);
    t.false(await other.acquireLease(leaseOf('c', 6), LONG_MS));
    t.true(await other.acquireLease(leaseOf('c', 8), LONG_MS));
  },
};

const shardTests: Record<string, Body> = {
  'only a newer epoch or revision replaces a shard': async (t, { registry, other }) => {
    t.true(await registry.putShard(shard(7, 2, 5)));
    t.false(await other.putShard(shard(7, 2, 5)));
    t.false(await other.putShard(shard(7, 2, 4)));
    t.false(await other.putShard(shard(7, 1, 99)));
    t.deepEqual(await other.shards([7]), [shard(7, 2, 5)]);
    t.true(await other.putShard(shard(7, 2, 6)));
    t.true(await other.putShard(shard(7, 3, 1)));
    t.deepEqual(await registry.shards([7]), [shard(7, 3, 1)]);
  },
  'shards come in order of their index, those that were written': async (t, { registry }) => {
    t.deepEqual(await registry.shardRevisions(), []);
    for (const index of [255, 10, 0, 9]) await registry.putShard(shard(index, 1, 1));
    t.deepEqual(await registry.shardRevisions(), [
      { index: 0, epoch: 1, revision: 1 },
      { index: 9, epoch: 1, revision: 1 },
      { index: 10, epoch: 1, revision: 1 },
      { index: 255, epoch: 1, revision: 1 },
    ]);
    t.deepEqual(await registry.shards([255, 3, 9]), [shard(9, 1, 1), shard(255, 1, 1)]);
    t.deepEqual(await registry.shards([]), []);
    t.deepEqual(await registry.shards([9, 9]), [shard(9, 1, 1)]);
  },
  'a whole assignment is written and read': async (t, { registry, other }) => {
    const all = Array.from({ length: ASSIGNMENT_SHARDS }, (_, index) => shard(index, 3, index));
    await Promise.all(all.map((one) => registry.putShard(one)));
    t.deepEqual(await other.shards(all.map(({ index }) => index)), all);
    const revisions = all.map(({ index, epoch, revision }) => ({ index, epoch, revision }));
    t.deepEqual(await other.shardRevisions(), revisions);
  },
  'of shards written at once the newest stays': async (t, { registry, other }) => {
    // Two leaders, the older one not knowing, each writing its revisions as fast as it can.
    const writes = Array.from({ length: 40 }, (_, at) => shard(3, 1 + (at % 2), at));
    const taken = await Promise.all(
      writes.map((one, at) => (at % 3 === 0 ? registry : other).putShard(one)),
    );
    t.true(taken.at(-1));
    t.deepEqual(await registry.shards([3]), [shard(3, 2, 39)]);
    t.false(await registry.putShard(shard(3, 1, 100)));
  },
};

const errorTests: Record<string, Body> = {
  'a TTL or a shard index that can not be is refused': async (t, { registry }) => {
    const expectation = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [], 0), expectation);
    await t.throwsAsync(registry.acquireLease(leaseOf('a', 1), Number.NaN), expectation);
    const error = await t.throwsAsync(registry.putShard(shard(256, 1, 1)), expectation);
    t.regex(error?.message ?? '', /256.*0 to 255/);
    await t.throwsAsync(registry.putShard(shard(1, 1.5, 1)), expectation);
    await t.throwsAsync(registry.putShard(shard(1, 1, -1)), expectation);
    await t.throwsAsync(registry.acquireLease(leaseOf('a', 2 ** 60), LONG_MS), expectation);
    await t.throwsAsync(registry.heartbeat('n1', 'i1', 1e13), expectation);
    t.deepEqual(await registry.nodes(), []);
  },
  'a closed client answers UNAVAILABLE': async (t, { registry }) => {
    await registry.close();
    const expectation = { instanceOf: StatusError, code: Code.UNAVAILABLE };
    await t.throwsAsync(registry.nodes(), expectation);
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [], LONG_MS), expectation);
    t.notThrows(() => registry.watch(() => {})());
  },
};

const RECORDS = { nodeRecord, copy, shard, leaseOf, longMs: LONG_MS };

/** @param open makes a new, empty registry. */
export function registryContract(name: string, open: () => Promise<RegistryUnderTest>): void {
  const all = { ...nodeTests, ...leaseTests, ...shardTests, ...watchTests(RECORDS), ...errorTests };
  for (const [title, body] of Object.entries(all)) {
    test(`${name}: ${title}`, async (t) => {
      const under = await open();
      t.teardown(() => under.end());
      await body(t, under);
    });
  }
}
