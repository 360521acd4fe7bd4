// A node's disk that fills up while a model comes in: real ENOSPC, on a small disk of its own.
import { createHash } from 'node:crypto';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { encodeManifest, MANIFEST_SCHEMA } from '../model/manifest.ts';
import type { BlobReader } from '../stores/blobs/blobs.ts';
import { errnoOf } from '../stores/disk-error.ts';
import { RESERVED_BYTES } from '../stores/disk-room.ts';
import { skip } from '../test/support/skip.ts';
import { smallDisk } from '../test/support/small-disk.ts';
import { VersionCache } from './cache.ts';

const MIB = 1024 * 1024;
const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A version of one file; returns the manifest's hash. */
function publish(contents: Map<string, Buffer>, version: number, file: Buffer): string {
  const sha256 = sha256Of(file);
  contents.set(sha256, file);
  const manifest = Buffer.from(
    encodeManifest({
      schema: MANIFEST_SCHEMA,
      model: 'digits',
      version,
      platform: 'onnxruntime_onnx',
      files: [{ path: 'model.onnx', sha256, sizeBytes: file.length }],
      configPbtxt: '',
      inputs: [],
      outputs: [],
    }),
  );
  contents.set(sha256Of(manifest), manifest);
  return sha256Of(manifest);
}

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (;;) await file.write(Buffer.alloc(MIB));
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
  } finally {
    await file.close();
  }
}

test('it says so, leaves no part of the model, and keeps those that are there', async (t) => {
  const disk = await smallDisk(RESERVED_BYTES + 16 * MIB);
  if (disk === undefined) return skip(t, 'no disk can be mounted by this user');
  t.teardown(() => disk.end());
  const contents = new Map<string, Buffer>();
  const small = publish(contents, 1, Buffer.from('a small model'));
  const large = publish(contents, 2, Buffer.alloc(12 * MIB, 1));
  const filler = join(disk.folder, 'of another program');
  let fills = true;
  const blobs: BlobReader = {
    stat: () => Promise.resolve(undefined),
    async *read(sha256) {
      const bytes = contents.get(sha256) ?? Buffer.alloc(0);
      yield bytes.subarray(0, MIB);
      if (bytes.length > MIB && fills) await fill(filler);
      yield bytes.subarray(MIB);
    },
  };
  const folder = join(disk.folder, 'cache');
  const cache = await VersionCache.open({ folder, blobs });
  const { folder: held } = await cache.acquire(small);
  const error = await t.throwsAsync(cache.acquire(large), { instanceOf: StatusError });
  t.is(error?.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error?.message ?? '', /cannot keep a model version.*the disk is full/);
  t.deepEqual(await readdir(folder), [small]);
  t.is(await readFile(join(held, 'model.onnx'), 'utf8'), 'a small model');
  fills = false;
  const early = await t.throwsAsync(cache.acquire(large), { instanceOf: StatusError });
  t.is(early?.code, Code.RESOURCE_EXHAUSTED, 'it does not begin without room');
  await rm(filler);
  await cache.acquire(large);
  t.deepEqual((await readdir(folder)).sort(), [small, large].sort());
});
