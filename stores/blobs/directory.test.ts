import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { RESERVED_BYTES } from '../disk-room.ts';
import { blobsContract } from './blobs.contract.ts';
import { openDirectoryBlobs } from './directory.ts';
import { verified } from './verified.ts';

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

blobsContract('directory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  const store = await openDirectoryBlobs(join(folder, 'new', 'blobs'));
  return {
    store,
    async end() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

async function* once(text: string) {
  yield Buffer.from(text);
}

test('paths are made of hashes, and nothing else stays behind', async (t) => {
  const root = await temporaryFolder(t);
  const store = await openDirectoryBlobs(root);
  const { sha256 } = await store.write(once('abc'), { maxBytes: 3 });
  await t.throwsAsync(store.write(once('abcd'), { maxBytes: 3 }));
  const files = await readdir(root, { recursive: true });
  t.deepEqual(files.sort(), [
    'blobs',
    'blobs/ba',
    'blobs/ba/78',
    `blobs/ba/78/${sha256}`,
    'incoming',
  ]);
  await store.close();
});

test('a process killed in a write leaves whole blobs only, and its remains go', async (t) => {
  const root = await temporaryFolder(t);
  const source = `
    import { openDirectoryBlobs } from ${JSON.stringify(import.meta.resolve('./directory.ts'))};
    const store = await openDirectoryBlobs(${JSON.stringify(root)});
    const whole = (async function* () { yield Buffer.alloc(200_000, 1); })();
    await store.write(whole, { maxBytes: 1e6 });
    const half = (async function* () {
      yield Buffer.alloc(200_000, 2);
      console.log('half');
      await new Promise((resolve) => setTimeout(resolve, 1e6));
    })();
    await store.write(half, { maxBytes: 1e6 });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface(child.stdout)) {
    if (line === 'half') child.kill('SIGKILL');
  }
  t.is((await readdir(join(root, 'incoming'))).length, 1);
  const store = await openDirectoryBlobs(root);
  t.deepEqual(await readdir(join(root, 'incoming')), []);
  const blobs = await store.list('', 10);
  t.deepEqual(
    blobs.map((info) => info.sizeBytes),
    [200_000],
  );
  for (const { sha256 } of blobs)
    await t.notThrowsAsync(Array.fromAsync(verified(store.read(sha256), { sha256: sha256 })));
  await store.close();
});

test('processes that share the folder leave each other’s content alone for an hour', async (t) => {
  const root = await temporaryFolder(t);
  const first = await openDirectoryBlobs(root, { isShared: true });
  const [started, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  async function* slow() {
    yield Buffer.from('half');
    started.resolve();
    await goOn.promise;
    yield Buffer.from(' and half');
  }
  const writing = first.write(slow(), { maxBytes: 100 });
  await started.promise;
  const left = join(root, 'incoming', 'left by a crash');
  await writeFile(left, 'half');
  await utimes(left, 1, Date.now() / 1000 - 2 * 60 * 60);
  const second = await openDirectoryBlobs(root, { isShared: true });
  t.is((await readdir(join(root, 'incoming'))).length, 1);
  goOn.resolve();
  const { sha256 } = await writing;
  t.is(String(Buffer.concat(await Array.fromAsync(second.read(sha256)))), 'half and half');
  const dateMs = (): number => Date.now() + 2 * 60 * 60 * 1000;
  await writeFile(left, 'half');
  await openDirectoryBlobs(root, { isShared: true, dateMs });
  t.deepEqual(await readdir(join(root, 'incoming')), []);
  await first.close();
  await second.close();
});

test('a damaged blob is found by who reads it, and mended by writing it again', async (t) => {
  const root = await temporaryFolder(t);
  const store = await openDirectoryBlobs(root);
  const { sha256 } = await store.write(once('content'), { maxBytes: 100 });
  const path = join(root, 'blobs', sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  await writeFile(path, 'c0ntent');
  const reading = Array.fromAsync(verified(store.read(sha256), { sha256: sha256 }));
  await t.throwsAsync(reading, { instanceOf: StatusError, code: Code.DATA_LOSS });
  await store.write(once('content'), { maxBytes: 100 });
  await t.notThrowsAsync(Array.fromAsync(verified(store.read(sha256), { sha256: sha256 })));
  await store.close();
});

test('content given again counts as written now', async (t) => {
  const root = await temporaryFolder(t);
  const store = await openDirectoryBlobs(root);
  const { sha256 } = await store.write(once('content'), { maxBytes: 100 });
  await utimes(join(root, 'blobs', sha256.slice(0, 2), sha256.slice(2, 4), sha256), 1, 1);
  t.is((await store.list('', 1))[0]?.writtenMs, 1_000);
  await store.write(once('content'), { maxBytes: 100 });
  t.true(((await store.list('', 1))[0]?.writtenMs ?? 0) > 1_000);
  await store.close();
});

test('a place that can not be written is an error that names it', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'file'), 'no folder');
  const root = join(folder, 'file', 'blobs');
  const error = await t.throwsAsync(openDirectoryBlobs(root), {
    instanceOf: StatusError,
    code: Code.FAILED_PRECONDITION,
  });
  t.true(error?.message.includes(root));
});

test('a folder that vanishes fails writes, not with a half blob, nor with its path', async (t) => {
  const root = join(await temporaryFolder(t), 'blobs');
  const store = await openDirectoryBlobs(root);
  await rm(root, { recursive: true });
  const error = await t.throwsAsync(store.write(once('abc'), { maxBytes: 3 }), {
    instanceOf: StatusError,
  });
  t.false(error?.message.includes(root));
  await store.close();
});

test('a disk that is nearly full takes no blob, and its last room is kept', async (t) => {
  const root = await temporaryFolder(t);
  let free = RESERVED_BYTES + 20 * 2 ** 20;
  const store = await openDirectoryBlobs(root, { freeBytes: async () => free });
  const source = async function* () {
    for (;;) {
      free -= 2 ** 20;
      yield Buffer.alloc(2 ** 20);
    }
  };
  const error = await t.throwsAsync(store.write(source(), { maxBytes: 2 ** 40 }), {
    instanceOf: StatusError,
  });
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /disk is full/);
  t.true(free >= RESERVED_BYTES, 'the room that is kept is there');
  t.deepEqual(await readdir(join(root, 'incoming')), []);
  t.deepEqual(await store.list('', 10), []);
  await store.close();
});
