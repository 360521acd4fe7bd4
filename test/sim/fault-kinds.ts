// The faults that a run can have, each with what begins it and what ends it. Whoever is ill by it
// says so, so that checks don't blame the well.
import type { Cluster } from './cluster.ts';
import type { Machine } from './machine.ts';
import type { Operator } from './operator.ts';
import type { Random } from './random.ts';

export interface FaultContext {
  readonly cluster: Cluster;
  readonly operator: Operator;
  readonly random: Random;
  readonly forMs: number;
}

export interface Begun {
  readonly target: string;
  end(): void;
}

export interface FaultKind {
  /** Of all faults, against the others' shares. */
  readonly share: number;
  readonly mostMs: number;
  begin(context: FaultContext): Begun;
}

/** A process that can be ended and started. */
interface Process {
  readonly machine: Machine;
  start(): void;
  kill(): void;
}

const REGISTRY = 'registry';
const CATALOG = 'catalog';
const BLOBS = 'blobs';

function killed(target: Process, isSilent = false): Begun {
  const { machine } = target;
  machine.illness.begin();
  machine.isDownSilently = isSilent;
  if (machine.life !== undefined) target.kill();
  return {
    target: machine.name,
    end() {
      machine.isDownSilently = false;
      machine.illness.end();
      if (machine.life === undefined) target.start();
    },
  };
}

function paused({ machine }: Process): Begun {
  const { life } = machine;
  machine.illness.begin();
  life?.pause();
  return {
    target: machine.name,
    end() {
      machine.illness.end();
      life?.resume();
    },
  };
}

/** Both ways, or one of them. */
function cut({ cluster, random }: FaultContext, a: string, b: string): Begun {
  const { network } = cluster.world;
  const [there, back] = random.pick([
    [true, true],
    [true, true],
    [true, false],
    [false, true],
  ] as const);
  const mends = [there ? network.cut(a, b) : undefined, back ? network.cut(b, a) : undefined];
  return {
    target: `${a} ${back ? '<' : '-'}-${there ? '>' : '-'} ${b}`,
    end() {
      for (const mend of mends) mend?.();
    },
  };
}

function worsened({ cluster, random }: FaultContext, a: string, b: string): Begun {
  const { network } = cluster.world;
  const extraMs = random.between(5, 700);
  const lossShare = random.between(0, 0.4);
  const mends = [
    network.worsen(a, b, extraMs, lossShare),
    network.worsen(b, a, extraMs, lossShare),
  ];
  return {
    target: `${a} ~ ${b}`,
    end() {
      for (const mend of mends) mend();
    },
  };
}

function processes({ nodes, routers, controls }: Cluster): readonly Process[] {
  return [...nodes, ...routers, ...controls];
}

function instant(target: string): Begun {
  return { target, end() {} };
}

export const FAULT_KINDS: Readonly<Record<string, FaultKind>> = {
  kill_node: {
    share: 3,
    mostMs: 12_000,
    begin: ({ cluster, random }) => killed(random.pick(cluster.nodes)),
  },
  power_off_node: {
    share: 2,
    mostMs: 12_000,
    begin: ({ cluster, random }) => killed(random.pick(cluster.nodes), true),
  },
  pause_node: {
    share: 3,
    mostMs: 8_000,
    begin: ({ cluster, random }) => paused(random.pick(cluster.nodes)),
  },
  drain_node: {
    share: 2,
    mostMs: 12_000,
    begin({ cluster, random }) {
      const node = random.pick(cluster.nodes);
      const { machine } = node;
      machine.illness.begin();
      void node.drain();
      const end = (): void => {
        if (node.isDraining && machine.life !== undefined) node.kill();
        machine.illness.end();
        if (machine.life === undefined) node.start();
      };
      return { target: node.id, end };
    },
  },
  kill_router: {
    share: 1,
    mostMs: 6_000,
    begin: ({ cluster, random }) => killed(random.pick(cluster.routers)),
  },
  pause_router: {
    share: 1,
    mostMs: 6_000,
    begin: ({ cluster, random }) => paused(random.pick(cluster.routers)),
  },
  kill_control: {
    share: 2,
    mostMs: 8_000,
    begin: ({ cluster, random }) => killed(random.pick(cluster.controls)),
  },
  pause_control: {
    share: 3,
    mostMs: 8_000,
    begin: ({ cluster, random }) => paused(random.pick(cluster.controls)),
  },
  stop_control: {
    share: 1,
    mostMs: 8_000,
    begin({ cluster, random }) {
      const control = random.pick(cluster.controls);
      const { machine } = control;
      machine.illness.begin();
      void control.stop();
      const end = (): void => {
        machine.illness.end();
        if (machine.life !== undefined) control.kill();
        control.start();
      };
      return { target: machine.name, end };
    },
  },
  cut_from_registry: {
    share: 4,
    mostMs: 12_000,
    begin(context) {
      const { machine } = context.random.pick(processes(context.cluster));
      return cut(context, machine.name, REGISTRY);
    },
  },
  cut_router_from_node: {
    share: 3,
    mostMs: 10_000,
    begin(context) {
      const { cluster, random } = context;
      const [router, node] = [random.pick(cluster.routers), random.pick(cluster.nodes)];
      return cut(context, router.machine.name, node.id);
    },
  },
  cut_from_catalog: {
    share: 1,
    mostMs: 10_000,
    begin(context) {
      const { machine } = context.random.pick(context.cluster.controls);
      return cut(context, machine.name, CATALOG);
    },
  },
  bad_way_to_registry: {
    share: 2,
    mostMs: 10_000,
    begin(context) {
      const { machine } = context.random.pick(processes(context.cluster));
      return worsened(context, machine.name, REGISTRY);
    },
  },
  bad_way_to_node: {
    share: 2,
    mostMs: 10_000,
    begin(context) {
      const { cluster, random } = context;
      const [router, node] = [random.pick(cluster.routers), random.pick(cluster.nodes)];
      return worsened(context, router.machine.name, node.id);
    },
  },
  reset_connections: {
    share: 2,
    mostMs: 1_000,
    begin({ cluster, random }) {
      const router = random.pick(cluster.routers);
      for (const connection of router.running?.connections ?? []) {
        if (random.chance(0.7)) connection.reset();
      }
      return instant(router.machine.name);
    },
  },
  registry_down: {
    share: 2,
    mostMs: 12_000,
    begin({ cluster }) {
      const { registry } = cluster.world;
      registry.stop();
      return { target: REGISTRY, end: () => registry.start() };
    },
  },
  registry_wiped: {
    share: 3,
    mostMs: 1_000,
    begin({ cluster }) {
      cluster.world.registry.wipe();
      return instant(REGISTRY);
    },
  },
  registry_set_back: {
    share: 2,
    mostMs: 8_000,
    begin({ cluster }) {
      const { registry } = cluster.world;
      void registry.remember();
      return { target: REGISTRY, end: () => void registry.setBack() };
    },
  },
  slow_disk: {
    share: 1,
    mostMs: 12_000,
    begin({ cluster, random }) {
      const { machine } = random.pick(processes(cluster));
      machine.diskDelayMs = random.between(50, 3_000);
      const end = (): void => {
        machine.diskDelayMs = 0.5;
      };
      return { target: machine.name, end };
    },
  },
  blobs_down: {
    share: 1,
    mostMs: 10_000,
    begin({ cluster }) {
      const { world } = cluster;
      world.isBlobsDown = true;
      const end = (): void => {
        world.isBlobsDown = false;
      };
      return { target: BLOBS, end };
    },
  },
  publish: {
    share: 3,
    mostMs: 1_000,
    begin({ cluster, operator, random }) {
      const model = random.pick([...cluster.world.models.keys()]);
      void operator.publish(model);
      return instant(model);
    },
  },
  set_copies: {
    share: 1,
    mostMs: 1_000,
    begin({ cluster, operator, random }) {
      const model = random.pick([...cluster.world.models.keys()]);
      void operator.setCopies(model, random.int(1, 2));
      return instant(model);
    },
  },
};
