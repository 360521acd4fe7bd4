import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { openBlobReader, openBlobs } from './open.ts';

test('a path, with or without its scheme, is a folder', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const address of [folder, `dir:${folder}`, `dir://${folder}`]) {
    const store = await openBlobs(address);
    await store.write(Readable.from([Buffer.from('content')]), { maxBytes: 10 });
    const [listed] = await store.list('', 10);
    await store.close();
    const reader = await openBlobReader(address);
    t.is((await reader.stat(listed?.sha256 ?? ''))?.sizeBytes, 7);
    await reader.close();
  }
});

test('a node’s reader changes nothing in a folder', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const reader = await openBlobReader(`dir:${folder}/absent`);
  t.is(await reader.stat('f'.repeat(64)), undefined);
  await reader.close();
  t.deepEqual(await readdir(folder), []);
});

test('other addresses open the store that they name', async (t) => {
  // Nothing listens at port 1: who says so is the store that was asked for.
  for (const [address, words] of [
    ['s3://models/a?endpoint=http://127.0.0.1:1', /cannot open the blobs at s3:\/\/models\/a/],
    ['redis://127.0.0.1:1', /cannot open the blobs at redis:\/\/127\.0\.0\.1:1/],
  ] as const) {
    const error = await t.throwsAsync(openBlobs(address), { instanceOf: StatusError });
    t.true([Code.UNAVAILABLE, Code.UNAUTHENTICATED].some((code) => code === error?.code));
    t.regex(error?.message ?? '', words);
  }
  const http = await openBlobs('http://127.0.0.1:1/');
  const error = await t.throwsAsync(http.list('', 1), { instanceOf: StatusError });
  t.is(error?.code, Code.UNAVAILABLE);
  await http.close();
  const same = openBlobs('redis://127.0.0.1:1', { registry: 'redis://127.0.0.1:1' });
  await t.throwsAsync(same, { instanceOf: StatusError, code: Code.INVALID_ARGUMENT });
});

test('another scheme is refused without what follows it', async (t) => {
  for (const address of ['ftp://me:hidden@host', 'dir:', '', 'http://me:hidden@host']) {
    const error = await t.throwsAsync(openBlobs(address), { instanceOf: StatusError });
    t.is(error?.code, Code.INVALID_ARGUMENT, address);
    t.notRegex(error?.message ?? '', /hidden/);
  }
});
