// One bit that is not what it was, anywhere in a model version: in the store, on its way, or on the
// node's disk. TORUS_BIT_FLIPS=10000 is the whole of it; a few hundred are run each time.
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { encodeManifest, MANIFEST_SCHEMA } from '../model/manifest.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { VersionCache } from './cache.ts';

const FLIPS = Number(process.env.TORUS_BIT_FLIPS ?? 240);
/** Each flip of the whole waits for the disk a few times. */
const TIMEOUT_MS = 20 * 60 * 1000;
const MANIFEST = 'manifest.json';

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Different for each flip, the same in each run. */
function chosen(flip: number, count: number): number {
  return createHash('sha256').update(`flip ${flip}`).digest().readUInt32BE() % count;
}

function flipped(bytes: Uint8Array, flip: number): Buffer {
  const bit = chosen(flip, bytes.length * 8);
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

const files = new Map(
  ['model.onnx', 'labels.txt', 'data/weights.bin'].map((path, index) => {
    const bytes = Buffer.from(Array.from({ length: 100 + 300 * index }, (_, at) => at * index));
    return [path, bytes] as const;
  }),
);
const manifest = Buffer.from(
  encodeManifest({
    schema: MANIFEST_SCHEMA,
    model: 'digits',
    version: 3,
    platform: 'onnxruntime_onnx',
    files: [...files].map(([path, bytes]) => {
      return { path, sha256: sha256Of(bytes), sizeBytes: bytes.length };
    }),
    configPbtxt: 'max_batch_size: 8',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 64] }],
    outputs: [{ name: 'y', datatype: 'INT64', shape: [-1] }],
  }),
);
const name = sha256Of(manifest);
const contents = new Map([...files.values(), manifest].map((bytes) => [sha256Of(bytes), bytes]));

function store(given: ReadonlyMap<string, Uint8Array>): BlobReader {
  return {
    stat: () => Promise.resolve(undefined),
    async *read(sha256) {
      const bytes = given.get(sha256);
      if (bytes === undefined) throw unavailable('the store is away');
      yield bytes;
    },
  };
}
const whole = store(contents);
const away = store(new Map());

async function codeOf(work: Promise<unknown>): Promise<Code | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return error instanceof StatusError ? error.code : undefined;
  }
}

/** Acquires and reads all: true when every byte is right. */
async function isRight(folder: string, blobs: BlobReader): Promise<boolean> {
  const cache = await VersionCache.open({ folder, blobs });
  const version = await cache.acquire(name);
  for (const [path, bytes] of files) {
    if (!bytes.equals(await readFile(join(version.folder, path)))) return false;
  }
  return version.manifest.version === 3;
}

test('a bit that flipped in the store or on its way is refused', async (t) => {
  t.timeout(TIMEOUT_MS);
  const folder = await mkdtemp(join(tmpdir(), 'torus-flips-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const cases = [...contents];
  const cache = async (blobs: BlobReader) => VersionCache.open({ folder, blobs });
  for (let flip = 0; flip < FLIPS; flip += 2) {
    const [sha256, bytes] = cases[(flip / 2) % cases.length] ?? [name, manifest];
    const damaged = store(new Map([...contents, [sha256, flipped(bytes, flip)]]));
    const acquiring = (await cache(damaged)).acquire(name);
    t.is(await codeOf(acquiring), Code.DATA_LOSS, `flip ${flip}`);
  }
  t.true(await isRight(folder, whole), 'nothing of it stayed');
});

test('a bit that flipped on the disk is never served, and mended from the store', async (t) => {
  t.timeout(TIMEOUT_MS);
  const folder = await mkdtemp(join(tmpdir(), 'torus-flips-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const places = [
    ...[...files].map(([path, bytes]) => [join(folder, name, 'files', path), bytes] as const),
    [join(folder, name, MANIFEST), manifest] as const,
  ];
  await isRight(folder, whole);
  for (let flip = 1; flip < FLIPS; flip += 2) {
    const [path, bytes] = places[chosen(-flip, places.length)] ?? [MANIFEST, manifest];
    await writeFile(path, flipped(bytes, flip));
    const refused = (await VersionCache.open({ folder, blobs: away })).acquire(name);
    t.is(await codeOf(refused), Code.UNAVAILABLE, `flip ${flip} of ${path}`);
    t.true(await isRight(folder, whole), `mended after flip ${flip}`);
  }
});
