// A whole cluster of simulated processes: its size comes from the seed.
import { LeaderChecks } from './leader-checks.ts';
import type { Machine } from './machine.ts';
import { NodeChecks } from './node-checks.ts';
import { RouterChecks } from './router-checks.ts';
import { SimulatedControl } from './simulated-control.ts';
import { SimulatedNode } from './simulated-node.ts';
import { SimulatedRouter } from './simulated-router.ts';
import { Wellness } from './wellness.ts';
import type { World } from './world.ts';

export interface ClusterSize {
  readonly nodes: number;
  readonly routers: number;
  readonly controls: number;
}

export class Cluster {
  readonly world: World;
  readonly nodes: readonly SimulatedNode[];
  readonly routers: readonly SimulatedRouter[];
  readonly controls: readonly SimulatedControl[];
  readonly nodeChecks: NodeChecks;
  readonly leaderChecks: LeaderChecks;
  readonly routerChecks: RouterChecks;
  readonly wellness: Wellness;

  constructor(world: World, size: ClusterSize) {
    this.world = world;
    this.nodeChecks = new NodeChecks(world);
    this.leaderChecks = new LeaderChecks(world);
    this.routerChecks = new RouterChecks(world);
    this.nodes = upTo(size.nodes).map(
      (at) => new SimulatedNode(world, `node-${at}`, world.random(100 + at), this.nodeChecks),
    );
    const byId = new Map(this.nodes.map((node) => [node.id, node]));
    this.routers = upTo(size.routers).map((at) => {
      const parts = { random: world.random(200 + at), checks: this.routerChecks };
      return new SimulatedRouter(world, `router-${at}`, byId, parts);
    });
    this.controls = upTo(size.controls).map(
      (at) => new SimulatedControl(world, `control-${at}`, this.leaderChecks),
    );
    const names = (all: readonly { readonly machine: Machine }[]): readonly string[] =>
      all.map(({ machine }) => machine.name);
    const [nodes, routers, controls] = [this.nodes, this.routers, this.controls].map(names);
    this.wellness = new Wellness(world, {
      nodes: nodes ?? [],
      routers: routers ?? [],
      controls: controls ?? [],
    });
  }

  start(): void {
    this.wellness.start();
    for (const one of [...this.controls, ...this.nodes, ...this.routers]) one.start();
  }
}

function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}
