// The bugs that are planted on purpose, by name: each is one that somebody could write, and the
// rules that it breaks. The simulation has to find every one of them.
import type { CopyRecord, Registry, RegistryChange } from '../../registry/registry.ts';
import type { DocumentStore } from '../../stores/documents/documents.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import type { Rule } from './checks.ts';
import type { Planted } from './planted.ts';

export interface PlantedBug {
  readonly name: string;
  readonly what: string;
  /** One of these tells it. */
  readonly breaks: readonly Rule[];
  /** Anew for each run: a bug may have a memory. */
  readonly plant: () => Planted;
}

/** The same, with some of its methods replaced. */
function altered<T extends object>(inner: T, over: Partial<T>): T {
  return new Proxy(inner, {
    get(target, name) {
      const member: unknown = Reflect.get(over, name) ?? Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

function readyEarly(copies: readonly CopyRecord[]): readonly CopyRecord[] {
  return copies.map((copy) => (copy.state === 'LOADING' ? { ...copy, state: 'READY' } : copy));
}

function tellsReadyEarly(registry: Registry): Registry {
  return altered<Registry>(registry, {
    putNode: (node, copies, ttlMs) => registry.putNode(node, readyEarly(copies), ttlMs),
    putCopies: (id, incarnation, copies) => registry.putCopies(id, incarnation, readyEarly(copies)),
  });
}

function trustsLostLease(registry: Registry): Registry {
  return altered<Registry>(registry, {
    renewLease: (lease, ttlMs) =>
      registry.renewLease(lease, ttlMs).then(
        () => true,
        () => true,
      ),
  });
}

/** What the leader raised is not what it wrote. */
function raisesInVain(documents: DocumentStore): DocumentStore {
  return altered<DocumentStore>(documents, {
    put: (kind, key, body, revision) => {
      const { epoch, ...more } = body as { readonly epoch: number };
      const kept = kind === 'cluster' && epoch > 1 ? { ...more, epoch: epoch - 1 } : body;
      return documents.put(kind, key, kept, revision);
    },
  });
}

/** All copies go to the first node that any has. */
function pilesUp(registry: Registry): Registry {
  let first: string | undefined;
  return altered<Registry>(registry, {
    putShard: (shard) => {
      const entries = shard.entries.map((entry) => {
        first ??= entry.nodes[0];
        const isPlaced = first !== undefined && entry.nodes.length > 0;
        return isPlaced ? { ...entry, nodes: [first ?? ''] } : entry;
      });
      return registry.putShard({ ...shard, entries });
    },
  });
}

/** A node that the registry forgot does not tell it again. */
function neverTellsAgain(registry: Registry): Registry {
  return altered<Registry>(registry, {
    heartbeat: async (id, incarnation, ttlMs) => {
      await registry.heartbeat(id, incarnation, ttlMs);
      return true;
    },
    putCopies: async (id, incarnation, copies) => {
      await registry.putCopies(id, incarnation, copies);
      return true;
    },
  });
}

/** Hints that were lost are not made up for. */
function trustsHints(registry: Registry): Registry {
  return altered<Registry>(registry, {
    watch: (listener) => {
      let isFirst = true;
      return registry.watch((change: RegistryChange) => {
        if (change.kind === 'all' && !isFirst) return;
        isFirst = false;
        listener(change);
      });
    },
  });
}

/** An answer that came while the caller had gone is given once more. */
function answersTwice(call: UnaryCall): UnaryCall {
  return altered<UnaryCall>(call, {
    succeed: (bytes) => {
      call.succeed(bytes);
      if ((bytes.at(-8) ?? 0) % 64 === 63) call.succeed(bytes);
    },
  });
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'node_obeys_anybody',
    what: 'a node takes whatever assignment it reads, older epochs too',
    breaks: ['newest_obeyed'],
    plant: () => ({ nodeTakesAnyShard: true }),
  },
  {
    name: 'router_obeys_anybody',
    what: 'a router takes whatever assignment it reads, older epochs too',
    breaks: ['newest_obeyed'],
    plant: () => ({ routerTakesAnyShard: true }),
  },
  {
    name: 'registry_unfenced',
    what: 'the registry lets an older leader write over a newer one',
    breaks: ['registry_goes_on'],
    plant: () => ({ serverTakesAnyShard: true, leaderRegistry: trustsLostLease }),
  },
  {
    name: 'lease_trusted',
    what: 'a leader that lost its lease, or can not renew it, goes on leading',
    breaks: ['leads_with_lease'],
    plant: () => ({ leaderRegistry: trustsLostLease }),
  },
  {
    name: 'epoch_not_raised',
    what: 'the epoch that a leader raises is not kept: the next one leads under the same',
    breaks: ['one_leader_an_epoch'],
    plant: () => ({ leaderDocuments: raisesInVain }),
  },
  {
    name: 'ready_early',
    what: 'a node tells a copy READY that is still loading',
    breaks: ['ready_is_loaded'],
    plant: () => ({ nodeRegistry: tellsReadyEarly }),
  },
  {
    name: 'no_hand_over',
    what: 'a copy that moves is unloaded before its new home is READY',
    breaks: ['never_without_copy'],
    plant: () => ({ wanted: (wanted) => wanted.filter(({ isKeptOnly }) => !isKeptOnly) }),
  },
  {
    name: 'repeats_all',
    what: 'a router sends a call again that may have run, whatever its policy says',
    breaks: ['run_once'],
    plant: () => ({
      resolved: (one) => (one.kind === 'ready' ? { ...one, isIdempotent: true } : one),
    }),
  },
  {
    name: 'answers_twice',
    what: 'a node answers some calls twice',
    breaks: ['answered_once'],
    plant: () => ({ nodeCall: answersTwice }),
  },
  {
    name: 'cache_by_name',
    what: "a node's disk cache finds a model by its name, not by its content",
    breaks: ['right_content'],
    plant: () => ({ cacheKey: (model) => model }),
  },
  {
    name: 'piles_up',
    what: 'the plan puts all copies on one node',
    breaks: ['bounded_load'],
    plant: () => ({ leaderRegistry: pilesUp }),
  },
  {
    name: 'tells_once',
    what: 'a node does not tell a registry of itself again that forgot it',
    breaks: ['converges', 'no_needless_error'],
    plant: () => ({ nodeRegistry: neverTellsAgain }),
  },
  {
    name: 'hints_trusted',
    what: 'who missed hints does not look for what changed',
    breaks: ['converges', 'no_needless_error'],
    plant: () => ({ nodeRegistry: trustsHints, routerRegistry: trustsHints }),
  },
  {
    name: 'plans_at_once',
    what: 'a leader plans before the nodes had time to tell of themselves',
    breaks: ['never_without_copy', 'no_needless_error'],
    plant: () => ({ timing: { settleMs: 0, massRemovalWaitMs: 0 } }),
  },
];

/** @throws when there is none of that name */
export function plantedBug(name: string): PlantedBug {
  const found = PLANTED_BUGS.find((bug) => bug.name === name);
  if (found === undefined) throw new Error(`there is no planted bug '${name}'`);
  return found;
}
