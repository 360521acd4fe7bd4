import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { openBlobs } from './open.ts';

test('a path, with or without its scheme, is a folder', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const address of [folder, `dir:${folder}`, `dir://${folder}`]) {
    const store = await openBlobs(address);
    await store.write(Readable.from([Buffer.from('content')]), { maxBytes: 10 });
    t.is((await store.list('', 10)).length, 1);
    await store.close();
  }
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
