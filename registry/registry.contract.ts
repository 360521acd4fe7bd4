// What every registry promises, run over each implementation by its own test file.
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../common/status.ts';
import {
  type AssignmentShard,
  type CopyRecord,
  type Lease,
  type NodeRecord,
  REGISTRY_SCHEMA,
  type Registry,
  type RegistryChange,
} from './registry.ts';

export interface RegistryUnderTest {
  /** Two clients of one empty registry (the same object where there is only one). */
  readonly registry: Registry;
  readonly other: Registry;
  /** Lets the registry's time pass. */
  advance(byMs: number): Promise<void>;
  end(): Promise<void>;
}

type Body = (t: ExecutionContext, under: RegistryUnderTest) => Promise<void>;

const TTL_MS = 2_000;

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
  return { schema: REGISTRY_SCHEMA, index, epoch, revision, entries: [entry] };
}

/** Collects hints; `until` waits for one, however it is delivered. */
function changesOf(registry: Registry) {
  const seen: RegistryChange[] = [];
  let wake = () => {};
  const unwatch = registry.watch((change) => {
    seen.push(change);
    wake();
  });
  const until = async (isWanted: (change: RegistryChange) => boolean): Promise<void> => {
    while (!seen.some(isWanted)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { seen, until, unwatch };
}

const nodeTests: Record<string, Body> = {
  'a node is known with its copies': async (t, { registry, other }) => {
    await registry.putNode(nodeRecord('n2'), [copy('digits')], TTL_MS);
    await registry.putNode(nodeRecord('n1'), [], TTL_MS);
    t.deepEqual(await other.nodes(), [nodeRecord('n1'), nodeRecord('n2')]);
    const copies = await other.copies();
    t.deepEqual(copies.get('n2'), [copy('digits')]);
    t.deepEqual(copies.get('n1'), []);
    t.is(copies.size, 2);
  },
  'a node that is silent for its TTL is gone with its copies': async (t, { registry, advance }) => {
    await registry.putNode(nodeRecord('n1'), [copy('digits')], TTL_MS);
    await registry.putNode(nodeRecord('n2'), [], 3 * TTL_MS);
    await advance(TTL_MS + 1);
    t.deepEqual(await registry.nodes(), [nodeRecord('n2')]);
    t.deepEqual([...(await registry.copies()).keys()], ['n2']);
    t.false(await registry.heartbeat('n1', 'i1', TTL_MS));
    t.false(await registry.putCopies('n1', 'i1', []));
    t.deepEqual(await registry.nodes(), [nodeRecord('n2')]);
  },
  'heartbeats keep a node alive': async (t, { registry, advance }) => {
    await registry.putNode(nodeRecord('n1'), [copy('digits')], TTL_MS);
    for (let beat = 0; beat < 4; beat += 1) {
      await advance(TTL_MS / 2);
      t.true(await registry.heartbeat('n1', 'i1', TTL_MS));
    }
    t.deepEqual(await registry.nodes(), [nodeRecord('n1')]);
    t.deepEqual((await registry.copies()).get('n1'), [copy('digits')]);
  },
  'copies replace what was said before': async (t, { registry }) => {
    await registry.putNode(nodeRecord('n1'), [copy('a')], TTL_MS);
    t.true(await registry.putCopies('n1', 'i1', [copy('b'), copy('c')]));
    t.deepEqual((await registry.copies()).get('n1'), [copy('b'), copy('c')]);
  },
  'a restarted node displaces the one that died': async (t, { registry }) => {
    await registry.putNode(nodeRecord('n1', 'old'), [copy('a')], TTL_MS);
    await registry.putNode(nodeRecord('n1', 'new'), [], TTL_MS);
    t.false(await registry.heartbeat('n1', 'old', TTL_MS));
    t.false(await registry.putCopies('n1', 'old', [copy('a')]));
    await registry.removeNode('n1', 'old');
    t.deepEqual(await registry.nodes(), [nodeRecord('n1', 'new')]);
    t.deepEqual((await registry.copies()).get('n1'), []);
  },
  'a node that leaves is gone at once': async (t, { registry }) => {
    await registry.putNode(nodeRecord('n1'), [copy('a')], TTL_MS);
    await registry.removeNode('n1', 'i1');
    t.deepEqual(await registry.nodes(), []);
    t.is((await registry.copies()).size, 0);
  },
};

const leaseOf = (owner: string, epoch: number): Lease => ({ name: 'leader', owner, epoch });

const leaseTests: Record<string, Body> = {
  'one owner at a time': async (t, { registry, other }) => {
    t.is(await registry.lease('leader'), undefined);
    t.true(await registry.acquireLease(leaseOf('a', 1), TTL_MS));
    t.false(await other.acquireLease(leaseOf('b', 2), TTL_MS));
    t.false(await other.renewLease(leaseOf('b', 2), TTL_MS));
    t.deepEqual(await other.lease('leader'), leaseOf('a', 1));
    t.true(await other.acquireLease({ name: 'job', owner: 'b', epoch: 1 }, TTL_MS));
  },
  'of many that ask at once one gets it': async (t, { registry, other }) => {
    const asked = ['a', 'b', 'c', 'd', 'e', 'f'].map((owner, index) =>
      (index % 2 === 0 ? registry : other).acquireLease(leaseOf(owner, index + 1), TTL_MS),
    );
    t.is((await Promise.all(asked)).filter((isMine) => isMine).length, 1);
  },
  'an expired lease is free, and lost to its owner': async (t, { registry, other, advance }) => {
    await registry.acquireLease(leaseOf('a', 1), TTL_MS);
    await advance(TTL_MS + 1);
    t.is(await registry.lease('leader'), undefined);
    t.false(await registry.renewLease(leaseOf('a', 1), TTL_MS));
    t.true(await other.acquireLease(leaseOf('b', 2), TTL_MS));
    await registry.releaseLease(leaseOf('a', 1));
    t.deepEqual(await registry.lease('leader'), leaseOf('b', 2));
  },
  'renewal keeps it; the owner may take it again with a new epoch': async (t, under) => {
    const { registry, advance } = under;
    await registry.acquireLease(leaseOf('a', 1), TTL_MS);
    for (let turn = 0; turn < 4; turn += 1) {
      await advance(TTL_MS / 2);
      t.true(await registry.renewLease(leaseOf('a', 1), TTL_MS));
    }
    t.true(await registry.acquireLease(leaseOf('a', 2), TTL_MS));
    t.false(await registry.renewLease(leaseOf('a', 1), TTL_MS));
    t.deepEqual(await registry.lease('leader'), leaseOf('a', 2));
  },
  'a released lease is free at once': async (t, { registry, other }) => {
    await registry.acquireLease(leaseOf('a', 1), TTL_MS);
    await other.releaseLease(leaseOf('b', 1));
    t.false(await other.acquireLease(leaseOf('b', 2), TTL_MS));
    await registry.releaseLease(leaseOf('a', 1));
    t.true(await other.acquireLease(leaseOf('b', 2), TTL_MS));
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
  },
};

const watchTests: Record<string, Body> = {
  'watchers hear what changed, from any client': async (t, { registry, other }) => {
    const changes = changesOf(registry);
    await other.putNode(nodeRecord('n1'), [], TTL_MS);
    await changes.until((change) => change.kind === 'nodes');
    await other.putCopies('n1', 'i1', [copy('a')]);
    await changes.until((change) => change.kind === 'copies' && change.nodeId === 'n1');
    await other.putShard(shard(12, 1, 1));
    await changes.until((change) => change.kind === 'assignment' && change.index === 12);
    await other.acquireLease(leaseOf('a', 1), TTL_MS);
    await changes.until((change) => change.kind === 'lease' && change.name === 'leader');
    await other.announce('jobs');
    await changes.until((change) => change.kind === 'announcement' && change.topic === 'jobs');
    t.pass();
  },
  'a watcher that ended hears nothing, another still does': async (t, { registry, other }) => {
    const ended = changesOf(registry);
    const stays = changesOf(registry);
    await other.announce('first');
    await ended.until((change) => change.kind === 'announcement');
    ended.unwatch();
    const before = ended.seen.length;
    await other.announce('second');
    await stays.until((change) => change.kind === 'announcement' && change.topic === 'second');
    t.is(ended.seen.length, before);
  },
};

const errorTests: Record<string, Body> = {
  'a TTL or a shard index that can not be is refused': async (t, { registry }) => {
    const expectation = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [], 0), expectation);
    await t.throwsAsync(registry.acquireLease(leaseOf('a', 1), Number.NaN), expectation);
    const error = await t.throwsAsync(registry.putShard(shard(256, 1, 1)), expectation);
    t.regex(error?.message ?? '', /256.*0 to 255/);
    t.deepEqual(await registry.nodes(), []);
  },
  'a closed client answers UNAVAILABLE': async (t, { registry }) => {
    await registry.close();
    const expectation = { instanceOf: StatusError, code: Code.UNAVAILABLE };
    await t.throwsAsync(registry.nodes(), expectation);
    await t.throwsAsync(registry.putNode(nodeRecord('n1'), [], TTL_MS), expectation);
    t.notThrows(() => registry.watch(() => {})());
  },
};

/** @param open makes a new, empty registry. */
export function registryContract(name: string, open: () => Promise<RegistryUnderTest>): void {
  const all = { ...nodeTests, ...leaseTests, ...shardTests, ...watchTests, ...errorTests };
  for (const [title, body] of Object.entries(all)) {
    test(`${name}: ${title}`, async (t) => {
      const under = await open();
      t.teardown(() => under.end());
      await body(t, under);
    });
  }
}
