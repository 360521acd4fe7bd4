// R12: the disk of a node is full: too little room for a model, then not a byte for anything. What
// is loaded serves on; what can not be kept says why and leaves nothing; it comes with the room.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeManifest } from '../../../model/manifest.ts';
import { floats, GraphBuilder } from '../../../model/onnx/graph.ts';
import { type Copy, CopyState } from '../../../proto/gen/torus/v1/cluster_service.ts';
import { CreateModelRequest } from '../../../proto/gen/torus/v1/model_service.ts';
import { RESERVED_BYTES } from '../../../stores/disk-room.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { checkedOnnx } from '../checked-model.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { type Criterion, type Fault, NotHere, none } from '../fault.ts';
import type { Member } from '../member.ts';

const FULL_MS = { full: 60_000, short: 1_000 };
const DISK_BYTES = RESERVED_BYTES + 8 * 2 ** 20;
const LARGE_BYTES = 16 * 2 ** 20;
const BALLAST_STEP_BYTES = 2 ** 16;
const LOAD_TIMEOUT_MS = 60_000;
const TIMEOUT_MS = 5_000;
/** The longest pause between two attempts, and a load. */
const MAX_BACK_MS = 35_000;

export const fullDisk: Fault = {
  id: 'R12',
  title: "a node's disk is full",
  async run(stage, form) {
    const disk = await smallDisk(DISK_BYTES);
    if (disk === undefined) throw new NotHere('a small disk needs a tmpfs, which needs root');
    stage.teardown(() => disk.end());
    const data = join(disk.folder, 'data');
    const flags = (_: string, id: string) => (id === 'node-1' ? ['--data', data] : []);
    const cluster = await stage.ownCluster({ ...USUAL_CLUSTER, flags });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('a cluster without nodes');
    const load = await stage.load(cluster);

    await publishEverywhere(cluster, 'large', largeOnnx());
    const large = await settled(cluster, node, 'large');
    stage.note(`a model larger than the room: ${large.reason}`);
    const ballast = join(disk.folder, 'ballast');
    await fill(ballast);
    await publishEverywhere(cluster, 'late', checkedOnnx({ name: 'late', mark: 7, copies: 4 }, 1));
    const late = await settled(cluster, node, 'late');
    stage.note(`not a byte left: ${late.reason}`);
    await pause(FULL_MS[form]);
    const halves = await halfMade(join(data, 'cache'));
    await rm(ballast);
    const freedMs = performance.now();
    await untilTrue(
      'late is READY on the node with room again',
      async () => (await copyOn(cluster, node, 'late'))?.state === CopyState.READY,
      LOAD_TIMEOUT_MS,
    );
    const backMs = performance.now() - freedMs;
    await load.stop();
    const { book, startMs } = load;
    const all = book.figures();
    const words = book.failureWords(startMs);
    const criteria: Criterion[] = [
      typed('too little room: a typed error', large),
      typed('no room at all: a typed error', late),
      none('files that are no whole version: 0', halves.length, 'all in its cache', `${halves}`),
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
      none('errors of loaded models: 0', all.failed, `${all.calls} calls`, words),
      {
        promise: 'with room again it is loaded by itself: <= 35 s',
        measured: `after ${(backMs / 1_000).toFixed(1)} s`,
        isKept: backMs <= MAX_BACK_MS,
      },
    ];
    const deed = `a node on ${DISK_BYTES / 2 ** 20} MiB, full for ${FULL_MS[form] / 1_000} s`;
    return { deed, criteria };
  },
};

function typed(promise: string, { state, reason }: Copy): Criterion {
  const isTyped = /^(RESOURCE_EXHAUSTED: )?.*the disk is full/.test(reason);
  return { promise, measured: reason, isKept: state === CopyState.FAILED && isTyped };
}

async function publishEverywhere(
  { admin, options }: ChaosCluster,
  modelId: string,
  onnx: Uint8Array,
): Promise<void> {
  const policy = { minCopies: options.nodes, maxCopies: options.nodes };
  const request = CreateModelRequest.fromPartial({ modelId, model: { policy } });
  await admin.any(({ models }) => models.createModel(request, { timeoutMs: TIMEOUT_MS }));
  await admin.publishFile(modelId, 1, onnx);
}

/** What became of it on that node, once all other nodes have it. */
async function settled(cluster: ChaosCluster, node: Member, model: string): Promise<Copy> {
  let found: Copy | undefined;
  await untilTrue(
    `${model} is FAILED on ${node.id}, READY elsewhere`,
    async () => {
      const holders = await cluster.holders(model);
      found = await copyOn(cluster, node, model);
      const isOver = found?.state === CopyState.FAILED || found?.state === CopyState.READY;
      return isOver && holders.length >= cluster.options.nodes - 1;
    },
    LOAD_TIMEOUT_MS,
  );
  if (found === undefined) throw new Error(`${node.id} has no copy of ${model}`);
  return found;
}

async function copyOn(
  cluster: ChaosCluster,
  { id }: Member,
  model: string,
): Promise<Copy | undefined> {
  const { nodes } = await cluster.status();
  return nodes.find((node) => node.id === id)?.copies.find(({ modelId }) => modelId === model);
}

/** Its weights are not used, and yet have to be fetched and kept. */
function largeOnnx(): Uint8Array {
  const graph = new GraphBuilder('large');
  const width = LARGE_BYTES / 4;
  graph.input('x', 'FP32', ['batch', 1]);
  const weights = graph.constant(floats(new Float32Array(width), [width]));
  const sum = graph.node('ReduceSum', [weights], { attributes: { keepdims: { int: 0 } } });
  graph.node('Add', ['x', sum], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 1]);
  return graph.write();
}

/** Until the disk takes no byte more. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  let step = BALLAST_STEP_BYTES;
  try {
    while (step >= 1) {
      const { bytesWritten } = await file
        .write(new Uint8Array(step))
        .catch(() => ({ bytesWritten: 0 }));
      if (bytesWritten < step) step = Math.floor(step / 2);
    }
  } finally {
    await file.close();
  }
}

/** What lies in a node's cache that is not a version with all files of its manifest, whole. */
async function halfMade(folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const inner = join(folder, name);
    const isWhole = await isWholeVersion(inner, name).catch(() => false);
    if (!isWhole) found.push(name);
  }
  return found;
}

async function isWholeVersion(folder: string, name: string): Promise<boolean> {
  const manifest = await readFile(join(folder, 'manifest.json'));
  if (createHash('sha256').update(manifest).digest('hex') !== name) return false;
  for (const { path, sha256 } of decodeManifest(manifest).files) {
    const hash = createHash('sha256');
    for await (const part of createReadStream(join(folder, 'files', path))) hash.update(part);
    if (hash.digest('hex') !== sha256) return false;
  }
  return true;
}
