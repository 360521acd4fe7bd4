// A catalog, a registry and live nodes in virtual time, for tests of leaders.
import { Catalog } from '../../catalog/catalog.ts';
import { publishVersion, reserveVersion } from '../../catalog/publish.ts';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Leader, SINGLE_PROCESS_TIMING } from '../../control/leader.ts';
import type { LeaderConfig } from '../../control/leader-state.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import {
  type AssignmentShard,
  HEARTBEAT_MS,
  NODE_TTL_MS,
  type NodeRecord,
  REGISTRY_SCHEMA,
  type Registry,
} from '../../registry/registry.ts';
import { shardOf } from '../../registry/shards.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';

const log = createLog({ role: 'test', level: 'silent' });

export class LeaderWorld {
  readonly clock = new VirtualClock();
  registry: Registry = new MemoryRegistry(this.clock);
  readonly store = new MemoryDocuments();
  readonly catalog = new Catalog(this.store);
  readonly live = new Set<string>();

  leader(
    id: string,
    timing: LeaderConfig = SINGLE_PROCESS_TIMING,
    given: Partial<LeaderWorld> = {},
  ) {
    const { catalog, registry, clock } = { ...this.parts(), ...given };
    const leader = new Leader({ id, catalog, registry, clock, log, timing });
    leader.start();
    return leader;
  }

  parts(): Pick<LeaderWorld, 'catalog' | 'registry' | 'clock'> {
    return { catalog: this.catalog, registry: this.registry, clock: this.clock };
  }

  async join(id: string): Promise<void> {
    this.live.add(id);
    const node: NodeRecord = {
      schema: REGISTRY_SCHEMA,
      id,
      incarnation: id,
      address: '127.0.0.1:1',
      state: 'SERVING',
      zone: '',
      memoryLimitBytes: 0,
    };
    await this.registry.putNode(node, [], NODE_TTL_MS);
  }

  async publish(model: string): Promise<void> {
    const version = await reserveVersion(this.catalog, { model, wanted: 0 }, 0);
    const doc = {
      model,
      version,
      state: 'READY' as const,
      reason: '',
      manifestSha256: String(version).padStart(64, '0'),
      platform: 'onnxruntime_onnx',
      inputs: [],
      outputs: [],
      sizeBytes: 100,
      metrics: {},
      labels: {},
      source: 'upload',
    };
    await publishVersion(this.catalog, { version: doc, promotes: true }, 0);
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await new Promise((done) => setImmediate(done));
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left));
      await this.settle();
      if (this.clock.nowMs() % HEARTBEAT_MS >= 100) continue;
      for (const id of this.live) await this.registry.heartbeat(id, id, NODE_TTL_MS);
    }
  }

  async shard(model: string): Promise<AssignmentShard | undefined> {
    return (await this.registry.shards([shardOf(model)]))[0];
  }

  async nodesOf(model: string): Promise<readonly string[] | undefined> {
    return (await this.shard(model))?.entries.find((entry) => entry.model === model)?.nodes;
  }
}
