import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { openDocuments } from './open.ts';

test('a path, with or without its scheme, is a SQLite file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-documents-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'catalog.sqlite');
  for (const [revision, address] of [path, `sqlite:${path}`, `sqlite://${path}`].entries()) {
    const store = await openDocuments(address);
    t.is(await store.put('model', 'm', {}, revision), revision + 1);
    await store.close();
  }
});

test('another scheme is refused without what follows it', async (t) => {
  for (const address of ['mysql://me:hidden@127.0.0.1/torus', 'sqlite:', '', 'sqlite:http://x']) {
    const error = await t.throwsAsync(openDocuments(address), { instanceOf: StatusError });
    t.is(error?.code, Code.INVALID_ARGUMENT, address);
    t.notRegex(error?.message ?? '', /hidden/);
  }
});
