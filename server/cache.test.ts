import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { Code, notFound, StatusError, unavailable } from '../common/status.ts';
import { encodeManifest, MANIFEST_SCHEMA } from '../model/manifest.ts';
import type { BlobRange, BlobReader } from '../stores/blobs/blobs.ts';
import { RESUME_PAUSE_MS } from '../stores/blobs/resumed.ts';
import { RESERVED_BYTES } from '../stores/disk-room.ts';
import { until } from '../test/support/small-cluster.ts';
import { VersionCache } from './cache.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Blobs in memory, handed out in pieces; counts the reads of each. */
class Blobs implements BlobReader {
  readonly bytes = new Map<string, Uint8Array>();
  readonly reads = new Map<string, number>();
  /** Of reads of files: where each began. */
  readonly starts: number[] = [];
  /** Reads of files end so many bytes after their start, one after the other. */
  readonly breaks: number[] = [];

  put(bytes: Uint8Array): string {
    const name = sha256(bytes);
    this.bytes.set(name, bytes);
    return name;
  }

  /** Makes a version of one model whose files have these contents; returns the manifest's hash. */
  version(version: number, files: Record<string, string>): string {
    return this.put(
      encodeManifest({
        schema: MANIFEST_SCHEMA,
        model: 'digits',
        version,
        platform: 'onnxruntime_onnx',
        files: Object.entries(files).map(([path, text]) => {
          const bytes = Buffer.from(text);
          return { path, sha256: this.put(bytes), sizeBytes: bytes.length };
        }),
        configPbtxt: '',
        inputs: [],
        outputs: [],
      }),
    );
  }

  stat(name: string) {
    const bytes = this.bytes.get(name);
    return Promise.resolve(bytes && { sha256: name, sizeBytes: bytes.length });
  }

  async *read(name: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    const bytes = this.bytes.get(name);
    if (bytes === undefined) throw notFound(`no blob ${name}`);
    this.reads.set(name, (this.reads.get(name) ?? 0) + 1);
    const start = range?.startByte ?? 0;
    this.starts.push(start);
    const isFile = bytes[0] !== 0x7b;
    const length = isFile ? this.breaks.shift() : undefined;
    const end = Math.min(bytes.length, start + (length ?? bytes.length));
    for (let at = start; at < end; at += 7) yield bytes.subarray(at, Math.min(end, at + 7));
    if (length !== undefined) throw unavailable('the connection was lost');
  }
}

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-cache-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function refusal(work: Promise<unknown>): Promise<StatusError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

test('one download, however many wait; the files lie under their paths', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph', 'data/weights.bin': 'the weights' });
  const cache = await VersionCache.open({ folder, blobs });
  const all = await Promise.all([1, 2, 3].map(() => cache.acquire(name)));
  for (const { folder: files } of all) {
    t.is(await readFile(join(files, 'data/weights.bin'), 'utf8'), 'the weights');
  }
  t.deepEqual([...blobs.reads.values()], [1, 1, 1]);
  t.is(cache.sizeBytes, 20);
});

test('found again after a restart, verified, without a download', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph' });
  await (await VersionCache.open({ folder, blobs })).acquire(name);
  blobs.reads.clear();
  const again = await (await VersionCache.open({ folder, blobs })).acquire(name);
  t.is(again.manifest.version, 1);
  t.is(blobs.reads.size, 0);
});

test('a file that rotted on disk is fetched again', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph' });
  const first = await (await VersionCache.open({ folder, blobs })).acquire(name);
  await writeFile(join(first.folder, 'model.onnx'), 'the grapf');
  const cache = await VersionCache.open({ folder, blobs });
  const again = await cache.acquire(name);
  t.is(await readFile(join(again.folder, 'model.onnx'), 'utf8'), 'the graph');
  again.release();
  await writeFile(join(first.folder, 'model.onnx'), 'the grapg');
  const later = await cache.acquire(name);
  t.is(await readFile(join(later.folder, 'model.onnx'), 'utf8'), 'the graph');
});

test('bytes that are not what their hash says are refused, and nothing is left', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph' });
  const file = sha256(Buffer.from('the graph'));
  const cache = await VersionCache.open({ folder, blobs });
  for (const [wrong, message] of [
    ['the grapf', /has SHA-256 .*, expected/],
    ['the graph, and more', /longer than 9 bytes/],
    ['the', /has SHA-256/],
  ] as const) {
    blobs.bytes.set(file, Buffer.from(wrong));
    const error = await refusal(cache.acquire(name));
    t.is(error.code, Code.DATA_LOSS);
    t.regex(error.message, message);
  }
  blobs.bytes.set(name, Buffer.from('{}'));
  t.is((await refusal(cache.acquire(name))).code, Code.DATA_LOSS);
  t.deepEqual(await readdir(folder), []);
  t.is((await refusal(cache.acquire('0'.repeat(64)))).code, Code.NOT_FOUND);
  t.is((await refusal(cache.acquire('../../etc'))).code, Code.NOT_FOUND);
});

test('what a crash left is removed', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph' });
  await (await VersionCache.open({ folder, blobs })).acquire(name);
  await writeFile(join(folder, '.tmp-1234'), 'half');
  await writeFile(join(folder, name, 'manifest.json'), 'not it');
  const cache = await VersionCache.open({ folder, blobs });
  t.deepEqual(await readdir(folder), []);
  t.is(cache.sizeBytes, 0);
});

test('the longest unused version makes room, one in use never', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const [one, two, three] = [1, 2, 3].map((version) =>
    blobs.version(version, { 'model.onnx': `${version}`.repeat(40) }),
  ) as [string, string, string];
  const cache = await VersionCache.open({ folder, blobs, maxBytes: 100 });
  const first = await cache.acquire(one);
  (await cache.acquire(two)).release();
  const third = await cache.acquire(three);
  t.deepEqual((await readdir(folder)).sort(), [one, three].sort());
  const error = await refusal(cache.acquire(two));
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /limit is 100 bytes, and 80 are in use/);
  first.release();
  first.release();
  third.release();
  await cache.acquire(two);
  t.deepEqual((await readdir(folder)).sort(), [two, three].sort());
});

test('a version that can never fit drives none out', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const [small, large] = [40, 101].map((length) =>
    blobs.version(length, { 'model.onnx': 'x'.repeat(length) }),
  ) as [string, string];
  const cache = await VersionCache.open({ folder, blobs, maxBytes: 100 });
  (await cache.acquire(small)).release();
  t.is((await refusal(cache.acquire(large))).code, Code.RESOURCE_EXHAUSTED);
  t.deepEqual(await readdir(folder), [small]);
});

test('versions that come at once stay within the limit together', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const names = [1, 2, 3].map((version) =>
    blobs.version(version, { 'model.onnx': `${version}`.repeat(40) }),
  );
  const cache = await VersionCache.open({ folder, blobs, maxBytes: 100 });
  const outcomes = await Promise.allSettled(names.map((name) => cache.acquire(name)));
  t.is(outcomes.filter(({ status }) => status === 'fulfilled').length, 2);
  t.is(cache.sizeBytes, 80);
  t.is((await readdir(folder)).length, 2);
});

test('a disk with less room than the limit: unused versions leave, then it is full', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const [one, two, three] = [1, 2, 3].map((version) =>
    blobs.version(version, { 'model.onnx': `${version}`.repeat(40) }),
  ) as [string, string, string];
  const freeBytes = async (): Promise<number> => RESERVED_BYTES + 100 - cache.sizeBytes;
  const cache: VersionCache = await VersionCache.open({ folder, blobs, freeBytes });
  const first = await cache.acquire(one);
  (await cache.acquire(two)).release();
  const third = await cache.acquire(three);
  t.deepEqual((await readdir(folder)).sort(), [one, three].sort());
  const error = await refusal(cache.acquire(two));
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /disk is full/);
  t.deepEqual((await readdir(folder)).sort(), [one, three].sort());
  t.is(await readFile(join(first.folder, 'model.onnx'), 'utf8'), '1'.repeat(40));
  third.release();
  await cache.acquire(two);
});

test('a transfer that breaks goes on where it broke', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph of a model' });
  const clock = new VirtualClock();
  blobs.breaks.push(9, 0);
  const cache = await VersionCache.open({ folder, blobs, clock });
  const acquiring = cache.acquire(name);
  await until('it broke, and again', () => {
    clock.advance(RESUME_PAUSE_MS);
    return blobs.breaks.length === 0;
  });
  await until('the rest is asked for', () => {
    clock.advance(RESUME_PAUSE_MS);
    return blobs.starts.length === 4;
  });
  const { folder: files } = await acquiring;
  t.is(await readFile(join(files, 'model.onnx'), 'utf8'), 'the graph of a model');
  t.deepEqual(blobs.starts, [0, 0, 9, 9]);
});

test('a store that goes away in between leaves nothing half', async (t) => {
  const folder = await temporaryFolder(t);
  const blobs = new Blobs();
  const name = blobs.version(1, { 'model.onnx': 'the graph of a model' });
  const clock = new VirtualClock();
  blobs.breaks.push(9, 0, 0, 0, 0, 0);
  const cache = await VersionCache.open({ folder, blobs, clock });
  const acquiring = refusal(cache.acquire(name));
  let isOver = false;
  void acquiring.then(() => {
    isOver = true;
  });
  await until('it gave up', () => {
    clock.advance(RESUME_PAUSE_MS);
    return isOver;
  });
  t.is((await acquiring).code, Code.UNAVAILABLE);
  t.deepEqual(await readdir(folder), []);
  await cache.acquire(name);
});

test('a cache that is no folder says so', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'file');
  await writeFile(path, '');
  const error = await refusal(VersionCache.open({ folder: path, blobs: new Blobs() }));
  t.is(error.code, Code.FAILED_PRECONDITION);
  t.true(error.message.includes(path));
});
