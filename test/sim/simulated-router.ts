// A router's process: the product's table, its sync, upstreams, waiting room and forwarder, put
// together as router/router.ts does, with connections over simulated links.
import { createMetrics } from '../../common/metrics.ts';
import { type Forward, Forwarder } from '../../router/forward.ts';
import { routerMetrics } from '../../router/metrics.ts';
import { RouteFile } from '../../router/route-file.ts';
import { SlowCopies } from '../../router/slow-copies.ts';
import { startTableSync } from '../../router/table-sync.ts';
import { forwardUnary } from '../../router/unary-forward.ts';
import { Upstreams } from '../../router/upstreams.ts';
import { WAITING_LIMITS, WaitingRoom } from '../../router/waiting.ts';
import { watchHealth } from '../../router/watch-health.ts';
import { Connection, type Listening } from './connection.ts';
import { ListenerCall, type Outcome } from './listener-call.ts';
import type { Life, Machine } from './machine.ts';
import type { Random } from './random.ts';
import { RegistryClient } from './registry-client.ts';
import type { RouterChecks } from './router-checks.ts';
import { passes } from './simulated-node.ts';
import { WatchedTable } from './watched-table.ts';
import type { World } from './world.ts';

const ROUTE_FILE = 'routes.json';

export interface ClientCall {
  readonly number: number;
  readonly request: Uint8Array;
  readonly leftMs: number;
  readonly onAnswer: (outcome: Outcome) => void;
}

interface Running {
  readonly life: Life;
  readonly table: WatchedTable;
  readonly connections: Set<Connection>;
  readonly startMs: number;
  take(call: ClientCall): void;
}

export class SimulatedRouter {
  readonly machine: Machine;
  readonly #world: World;
  readonly #nodes: ReadonlyMap<string, Listening>;
  readonly #random: Random;
  readonly #checks: RouterChecks;
  #running: Running | undefined;

  constructor(
    world: World,
    name: string,
    nodes: ReadonlyMap<string, Listening>,
    parts: { readonly random: Random; readonly checks: RouterChecks },
  ) {
    this.machine = world.machine(name);
    this.#world = world;
    this.#nodes = nodes;
    this.#random = parts.random;
    this.#checks = parts.checks;
  }

  get running(): Running | undefined {
    return this.#running;
  }

  start(): void {
    const world = this.#world;
    const life = this.machine.begin();
    const { name } = this.machine;
    const { clock, log } = { clock: life, log: world.log(name) };
    const table = new WatchedTable(this.#checks.watcher(name, life), world.planted);
    const connections = new Set<Connection>();
    const random = (): number => this.#random.next();
    const upstreams = new Upstreams({
      connect: (address) => this.#connect(life, address, connections),
      localBackends: new Map(),
      random,
      onEjected: ({ node, model, reason }) =>
        world.trace.note(name, `ejects ${model} on ${node}: ${reason}`),
    });
    const slowCopies = new SlowCopies();
    const room = new WaitingRoom<Forward>(WAITING_LIMITS);
    const metrics = routerMetrics(createMetrics(), {
      waitingCalls: () => room.calls,
      waitingBytes: () => room.bytes,
      knownNodes: () => upstreams.size,
      ejectedCopies: () => upstreams.ejected(clock.nowMs()),
      silentNodes: () => 0,
      registryStalenessMs: () => 0,
    });
    const forwarder = new Forwarder({
      ...{ table, upstreams, room, clock, random, metrics, slowCopies, lead: undefined },
    });
    const routes = this.#routes(life);
    if (routes.restore(table)) upstreams.follow(table.nodes(), clock.nowMs());
    const registry = new RegistryClient(world.registry, world.network, life);
    startTableSync({
      ...{ table, clock, log },
      registry: world.planted.routerRegistry?.(registry) ?? registry,
      onSynced() {
        routes.changed(table);
        upstreams.follow(table.nodes(), clock.nowMs());
        forwarder.changed();
      },
    });
    watchHealth({ upstreams, slowCopies, clock, log, forwarder });
    this.#running = {
      ...{ life, table, connections, startMs: world.nowMs() },
      take: (call) => {
        const listened = this.#listen(life, call);
        forwardUnary(listened, forwarder, metrics);
      },
    };
    world.trace.note(name, 'starts');
  }

  kill(): void {
    this.#world.trace.note(this.machine.name, 'killed');
    this.machine.end();
    this.#running = undefined;
  }

  #connect(life: Life, address: string, connections: Set<Connection>): Connection {
    const node = this.#nodes.get(address);
    if (node === undefined) throw new Error(`nobody is at ${address}`);
    const connection = new Connection(life, this.#world.network, node);
    connections.add(connection);
    return connection;
  }

  #listen(life: Life, call: ClientCall): ListenerCall {
    const { checks } = this.#world;
    const { name } = this.machine;
    return new ListenerCall({
      life,
      request: call.request,
      leftMs: call.leftMs,
      onAnswer: call.onAnswer,
      onSecond: () => checks.breach('answered_once', `${name} answered ${call.number} twice`),
      onExpired: () => this.#checks.expired(name, call.number),
    });
  }

  #routes(life: Life): RouteFile {
    const { machine } = this;
    const write = async (path: string, parts: AsyncIterable<string>): Promise<void> => {
      let text = '';
      for await (const part of parts) text += part;
      await passes(life, machine.diskDelayMs);
      machine.disk.set(path, text);
    };
    const pause = (): Promise<void> => Promise.resolve();
    const { clock, log } = { clock: life, log: this.#world.log(machine.name) };
    return new RouteFile(ROUTE_FILE, { clock, log, write, pause }, machine.disk.get(ROUTE_FILE));
  }
}
