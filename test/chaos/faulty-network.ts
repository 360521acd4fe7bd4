// A cluster between whose processes a network can be made to fail: the way of the routers to each
// node, and the way of each process to Redis, go through a proxy of their own.
import { type FaultProxy, type Faults, faultProxy } from '../support/fault-proxy.ts';
import { type ChaosCluster, USUAL_CLUSTER } from './cluster.ts';
import type { Stage } from './fault.ts';
import { listeningPort, type Member } from './member.ts';

export interface FaultyNetwork {
  readonly cluster: ChaosCluster;
  /** Nothing that the host of this process sends arrives, or nothing that it is sent. */
  mute(member: Member): void;
  deafen(member: Member): void;
  /** Of all ways. */
  setAll(faults: Partial<Faults>): void;
  /** Connections reset so far. */
  resets(): number;
}

export async function faultyNetwork(stage: Stage, controls: number): Promise<FaultyNetwork> {
  const toNode = new Map<string, FaultProxy>();
  const toRedis = new Map<string, FaultProxy>();
  const proxied = async (into: Map<string, FaultProxy>, id: string, target: number) => {
    const proxy = await faultProxy(target);
    stage.teardown(() => proxy.end());
    into.set(id, proxy);
    return proxy.port;
  };
  const cluster = await stage.ownCluster({
    ...USUAL_CLUSTER,
    controls,
    async flags(role, id, { redis }) {
      const registry = `redis://127.0.0.1:${await proxied(toRedis, id, redis.port)}`;
      if (role !== 'node') return ['--registry', registry];
      const nodePort = await listeningPort(Math.random);
      const advertised = `127.0.0.1:${await proxied(toNode, id, nodePort)}`;
      const ports = ['--node-port', String(nodePort), '--advertise', advertised];
      return ['--registry', registry, ...ports];
    },
  });
  const all = [...toNode.values(), ...toRedis.values()];
  return {
    cluster,
    mute({ id }) {
      toNode.get(id)?.set({ silent: ['down'] });
      toRedis.get(id)?.set({ silent: ['up'] });
    },
    deafen({ id }) {
      toNode.get(id)?.set({ silent: ['up'] });
      toRedis.get(id)?.set({ silent: ['down'] });
    },
    setAll(faults) {
      for (const proxy of all) proxy.set(faults);
    },
    resets: () => all.reduce((sum, { resets }) => sum + resets, 0),
  };
}
