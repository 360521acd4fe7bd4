// R13: one bit of an artifact or a manifest is turned over: in the blob store, behind its HTTP
// port, in a node's own cache, in an upload. The code that distributes runs in this process, over
// real files and a real listener, so that ten thousand flips take a minute.
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, hasCode, statusOf } from '../../../common/status.ts';
import { encodeManifest, MANIFEST_SCHEMA } from '../../../model/manifest.ts';
import { VersionCache } from '../../../server/cache.ts';
import type { BlobReader, BlobStore } from '../../../stores/blobs/blobs.ts';
import { openDirectoryBlobs, readDirectoryBlobs } from '../../../stores/blobs/directory.ts';
import { httpBlobs } from '../../../stores/blobs/http-client.ts';
import { serveBlobs } from '../../../stores/blobs/http-server.ts';
import { mlpModel } from '../../support/tiny-onnx.ts';
import { anyFlip, flipOnDisk, flipped } from '../bit-flips.ts';
import { type Criterion, type Fault, none, type Stage } from '../fault.ts';

const FULL_FLIPS = 10_000;
const SHORT_FLIPS = 400;
const MAX_BYTES = 2 ** 20;
const HOST = '127.0.0.1';

/** A version in a store: what is flipped, and the bytes that it has to have. */
interface Stored {
  readonly root: string;
  readonly store: BlobStore;
  readonly manifest: string;
  /** By the hash that names them; the manifest is one of them. */
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

/** Flips one bit somewhere, looks what comes of it, and leaves all as it was. */
type Try = (name: string) => Promise<'refused' | 'accepted' | 'half-made'>;

interface Place {
  readonly title: string;
  readonly try: Try;
  /** Without a flip it is accepted, or nothing would be shown. @throws when it is not */
  whole(): Promise<void>;
}

export const bitFlips: Fault = {
  id: 'R13',
  title: 'bits flip in artifacts and manifests',
  async run(stage, form) {
    const flips = form === 'full' ? FULL_FLIPS : SHORT_FLIPS;
    const folder = await mkdtemp(join(tmpdir(), 'torus-flips-'));
    stage.teardown(() => rm(folder, { recursive: true, force: true }));
    const stored = await storedVersion(join(folder, 'store'));
    const places = [
      storePlace('in the store', stored, readDirectoryBlobs(stored.root), join(folder, 'a')),
      storePlace('behind HTTP', stored, await overHttp(stage, stored.store), join(folder, 'b')),
      await cachePlace(stored, join(folder, 'c')),
      uploadPlace(stored),
    ];
    const names = [...stored.bytes.keys()];
    const criteria: Criterion[] = [];
    for (const place of places) {
      await place.whole();
      const seen = { refused: 0, accepted: 0, 'half-made': 0 };
      const count = flips / places.length;
      for (let at = 0; at < count; at += 1) {
        // Manifests as often as artifacts.
        const isManifest = at % 2 === 0;
        const others = names.filter((name) => name !== stored.manifest);
        const name = isManifest ? stored.manifest : others[(at >> 1) % others.length];
        seen[await place.try(name ?? '')] += 1;
      }
      await place.whole();
      stage.note(`${seen.refused} of ${count} refused ${place.title}`);
      criteria.push(
        none(`${place.title}: accepted: 0`, seen.accepted, `${count} flips`),
        none(`${place.title}: left half-made: 0`, seen['half-made'], `${count} flips`),
      );
    }
    return { deed: `${flips} times one bit, half of them in manifests`, criteria };
  },
};

async function storedVersion(root: string): Promise<Stored> {
  const store = await openDirectoryBlobs(root);
  const contents = new Map<string, Uint8Array>([
    ['model.onnx', mlpModel()],
    ['labels.txt', new TextEncoder().encode('no\nyes\n')],
  ]);
  const files = [...contents].map(([path, bytes]) => {
    return { path, sha256: hashOf(bytes), sizeBytes: bytes.length };
  });
  const manifest = encodeManifest({
    ...{ schema: MANIFEST_SCHEMA, model: 'flipped', version: 1, platform: 'onnxruntime_onnx' },
    ...{ files, configPbtxt: 'max_batch_size: 8', inputs: [], outputs: [] },
  });
  const all = [...contents.values(), manifest];
  for (const bytes of all) await store.write(inOnePiece(bytes), { maxBytes: MAX_BYTES });
  const bytes = new Map(all.map((one) => [hashOf(one), one]));
  return { root, store, manifest: hashOf(manifest), bytes };
}

/** A node that has nothing fetches from a store in which a bit is wrong. */
function storePlace(
  title: string,
  { root, manifest, bytes }: Stored,
  blobs: BlobReader,
  folder: string,
): Place {
  const fetch = async (): ReturnType<Try> => {
    await rm(folder, { recursive: true, force: true });
    const cache = await VersionCache.open({ folder, blobs });
    const outcome = await outcomeOf(() => cache.acquire(manifest), Code.DATA_LOSS);
    if (outcome === 'accepted') return outcome;
    return (await readdir(folder)).length === 0 ? outcome : 'half-made';
  };
  return {
    title,
    whole: async () => mustBeAccepted(title, await fetch()),
    async try(name) {
      const path = join(root, 'blobs', name.slice(0, 2), name.slice(2, 4), name);
      const flip = anyFlip(sizeOf(bytes, name), Math.random);
      await flipOnDisk(path, flip);
      try {
        return await fetch();
      } finally {
        await flipOnDisk(path, flip);
      }
    },
  };
}

/**
 * A node whose own copy rots, before it starts again or while it runs, must take it from the store
 * once more; where that is away it refuses.
 */
async function cachePlace({ root, manifest, bytes }: Stored, folder: string): Promise<Place> {
  const title = "in a node's cache";
  const store = readDirectoryBlobs(root);
  let isAway = false;
  const blobs: BlobReader = {
    stat: (name) => store.stat(name),
    read: (name, range) => store.read(isAway ? '' : name, range),
  };
  let cache = await VersionCache.open({ folder, blobs });
  const held = join(folder, manifest);
  const isRight = async (): Promise<boolean> => {
    const cached = await cache.acquire(manifest);
    cached.release();
    for (const { path, sha256 } of cached.manifest.files) {
      if (hashOf(await readFile(join(cached.folder, path))) !== sha256) return false;
    }
    return true;
  };
  let tries = 0;
  return {
    title,
    async whole() {
      isAway = false;
      mustBeAccepted(title, (await isRight()) ? 'accepted' : 'half-made');
    },
    async try(name) {
      isAway = false;
      if (!(await isRight())) return 'accepted';
      // Its start begins with a look at the manifest; what it read of that it keeps.
      const isRestarted = name === manifest || tries++ % 2 === 0;
      const path = name === manifest ? 'manifest.json' : join('files', pathOf(bytes, name));
      await flipOnDisk(join(held, path), anyFlip(sizeOf(bytes, name), Math.random));
      isAway = true;
      if (isRestarted) cache = await VersionCache.open({ folder, blobs });
      return await outcomeOf(() => cache.acquire(manifest), Code.NOT_FOUND);
    },
  };
}

/** What is uploaded under a hash that was told before has to have it. */
function uploadPlace({ store, bytes }: Stored): Place {
  const title = 'in an upload';
  const upload = async (name: string, content: Uint8Array): ReturnType<Try> => {
    const options = { maxBytes: MAX_BYTES, expectedSha256: name };
    const before = await store.list('', 100);
    const outcome = await outcomeOf(
      () => store.write(inOnePiece(content), options),
      Code.DATA_LOSS,
    );
    const after = await store.list('', 100);
    return outcome === 'refused' && after.length !== before.length ? 'half-made' : outcome;
  };
  return {
    title,
    async whole() {
      for (const [name, content] of bytes) mustBeAccepted(title, await upload(name, content));
    },
    async try(name) {
      const content = bytes.get(name) ?? new Uint8Array(1);
      return await upload(name, flipped(content, anyFlip(content.length, Math.random)));
    },
  };
}

/** @param code of a refusal @throws what else it fails with */
async function outcomeOf(work: () => Promise<unknown>, code: Code): ReturnType<Try> {
  try {
    await work();
    return 'accepted';
  } catch (thrown) {
    if (hasCode(thrown, code)) return 'refused';
    throw new Error(`a flip is refused with ${statusOf(thrown).message}`, { cause: thrown });
  }
}

function mustBeAccepted(title: string, outcome: Awaited<ReturnType<Try>>): void {
  if (outcome !== 'accepted') throw new Error(`whole bytes ${title} are ${outcome}`);
}

async function overHttp(stage: Stage, store: BlobStore): Promise<BlobReader> {
  const server = serveBlobs(store);
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  stage.teardown(async () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return httpBlobs(`http://${HOST}:${address.port}`);
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const sizeOf = (bytes: Stored['bytes'], name: string): number => bytes.get(name)?.length ?? 1;

/** Of the two files the graph is the larger one. */
const pathOf = (bytes: Stored['bytes'], name: string): string =>
  sizeOf(bytes, name) > 100 ? 'model.onnx' : 'labels.txt';

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
