// A made-up cluster for measuring plans: models with 24-character names, log-normal sizes and 1.2
// copies in the mean, on as many nodes as asked for. Seeded: the same each time.
import { DEFAULT_POLICY, type VersionDoc } from '../../catalog/documents.ts';
import { newModel } from '../../catalog/models.ts';
import type { PlannedModel } from '../../control/plan.ts';
import {
  type AssignmentEntry,
  type CopyRecord,
  type NodeRecord,
  REGISTRY_SCHEMA,
} from '../../registry/registry.ts';

/** Every fifth model wants two copies: 1.2 in the mean. */
const MODELS_PER_PAIR = 5;
const MEDIAN_BYTES = 4_000_000;
/** Of the logarithm of a model's size: the largest of 100,000 is some 5,000 times the median. */
const SIZE_SIGMA = 1.5;

export function madeNode(at: number): NodeRecord {
  return {
    schema: REGISTRY_SCHEMA,
    id: `node-${String(at).padStart(4, '0')}`,
    incarnation: '1',
    address: '127.0.0.1:1',
    state: 'SERVING',
    zone: `zone-${at % 3}`,
    memoryLimitBytes: 0,
  };
}

/** Mulberry32: 0 to 1 from a seed, the same on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function hashText(random: () => number): string {
  const part = (): string =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return Array.from({ length: 8 }, part).join('');
}

/** Ordered by name, as the catalog gives them. */
export function madeModels(count: number, seed = 1): PlannedModel[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, at): PlannedModel => {
    const name = `team-${String(at % 89).padStart(2, '0')}-model-${String(at).padStart(10, '0')}`;
    const copies = at % MODELS_PER_PAIR === 0 ? 2 : 1;
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const version: VersionDoc = {
      schema: 1,
      model: name,
      version: 1,
      state: 'READY',
      reason: '',
      manifestSha256: hashText(random),
      platform: 'onnxruntime_onnx',
      inputs: [],
      outputs: [],
      sizeBytes: Math.ceil(MEDIAN_BYTES * Math.exp(SIZE_SIGMA * normal)),
      metrics: {},
      labels: {},
      source: 'upload',
      createdMs: 0,
    };
    const policy = { ...DEFAULT_POLICY, minCopies: copies, maxCopies: copies };
    return {
      model: { ...newModel(name, 0, { policy }), servingVersion: 1, loadedVersions: [1] },
      versions: [version],
    };
  }).sort((a, b) => (a.model.name < b.model.name ? -1 : 1));
}

/** Every copy of the assignment is ready, on the nodes that live. */
export function readyEverywhere(
  entries: readonly AssignmentEntry[],
  nodes: readonly NodeRecord[],
): ReadonlyMap<string, readonly CopyRecord[]> {
  const copies = new Map<string, CopyRecord[]>(nodes.map(({ id }) => [id, []]));
  for (const { model, version, manifestSha256, nodes: ids } of entries) {
    for (const id of ids) {
      const record = { model, version, manifestSha256, state: 'READY', reason: '', memoryBytes: 0 };
      copies.get(id)?.push(record as CopyRecord);
    }
  }
  return copies;
}
