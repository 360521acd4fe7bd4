// One node of a cluster, of the real parts: models from a blob store, a registry in memory, time
// that is told to move.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import type { StatusError } from '../../common/status.ts';
import { encodeManifest, MANIFEST_SCHEMA, type Manifest } from '../../model/manifest.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import type { AssignmentEntry, Registry } from '../../registry/registry.ts';
import { type InferenceNode, startNode } from '../../server/node.ts';
import type { BlobReader, BlobStore } from '../../stores/blobs/blobs.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { fp32 } from './infer-requests.ts';
import { entry, until } from './small-cluster.ts';

const log = createLog({ role: 'node', level: 'silent' });
export const ONES = [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [10, 20])];

export interface Cluster {
  readonly clock: VirtualClock;
  readonly registry: MemoryRegistry;
  readonly blobs: BlobStore;
  readonly dataDir: string;
  readonly fatal: StatusError[];
  /** A version's files in the blob store; its entry, on node n1. */
  publish(
    model: string,
    version: number,
    onnx: Uint8Array,
    manifest?: Partial<Manifest>,
  ): Promise<AssignmentEntry>;
  start(registry?: Registry, blobs?: BlobReader, handoverMs?: number): Promise<InferenceNode>;
  /** 'model/version STATE' of the copies that n1 tells of. */
  told(): Promise<readonly string[]>;
}

export async function oneNode(t: ExecutionContext): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-node-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const clock = new VirtualClock();
  const registry = new MemoryRegistry(clock);
  const blobs = await openDirectoryBlobs(join(folder, 'blobs'));
  t.teardown(() => blobs.close());
  const dataDir = join(folder, 'n1');
  const fatal: StatusError[] = [];
  let starts = 0;
  const put = async (bytes: Uint8Array): Promise<string> => {
    const write = await blobs.write(
      (async function* () {
        yield bytes;
      })(),
      { maxBytes: 2 ** 30 },
    );
    return write.sha256;
  };
  return {
    clock,
    registry,
    blobs,
    dataDir,
    fatal,
    async publish(model, version, onnx, more = {}) {
      const file = { path: 'model.onnx', sha256: await put(onnx), sizeBytes: onnx.length };
      const manifest = encodeManifest({
        schema: MANIFEST_SCHEMA,
        model,
        version,
        platform: 'onnxruntime_onnx',
        files: [file],
        configPbtxt: '',
        inputs: [],
        outputs: [],
        ...more,
      });
      return entry(model, version, { manifestSha256: await put(manifest), nodes: ['n1'] });
    },
    async start(over = registry, from = blobs, handoverMs = 0) {
      starts += 1;
      const about = { address: 'localhost:8011', zone: '', memoryLimitBytes: 0 };
      const started = await startNode({
        id: 'n1',
        source: {
          kind: 'cluster',
          registry: over,
          blobs: from,
          node: { ...about, incarnation: `n1-${starts}` },
        },
        dataDir,
        clock,
        dateMs: () => 0,
        log,
        metrics: createMetrics(),
        serverVersion: '0',
        handoverMs,
        onFatal: (error) => fatal.push(error),
      });
      t.teardown(() => started.stop());
      return started;
    },
    async told() {
      const copies = (await registry.copies()).get('n1') ?? [];
      return copies.map(({ model, version, state }) => `${model}/${version} ${state}`).sort();
    },
  };
}

/** Waits until n1 tells exactly these copies. */
export async function untilTold({ told }: Cluster, ...expected: string[]): Promise<void> {
  let last: readonly string[] = [];
  const what = expected.join(', ');
  const isSo = async (): Promise<boolean> => {
    last = await told();
    return JSON.stringify(last) === JSON.stringify(expected);
  };
  await until(what, isSo).catch(() => {
    throw new Error(`told are [${last.join(', ')}], expected [${what}]`);
  });
}
