import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { replaceDurably, syncFolder, writeDurably } from './durable-files.ts';

const folder = await mkdtemp(join(tmpdir(), 'torus-durable-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

test('a new file holds all parts, and none is written over', async (t) => {
  const path = join(folder, 'new');
  const parts = [Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')];
  t.is(await writeDurably(path, parts), 7);
  t.is(await readFile(path, 'utf8'), 'one two');
  await t.throwsAsync(writeDurably(path, parts), { code: 'EEXIST' });
});

test('a file is replaced whole, with nothing left beside it', async (t) => {
  const path = join(folder, 'state.json');
  await replaceDurably(path, 'a longer first text');
  await replaceDurably(path, 'second');
  t.is(await readFile(path, 'utf8'), 'second');
  t.false((await readdir(folder)).includes('state.json.new'));
});

test('a folder that is not there is nothing to sync', async (t) => {
  await t.notThrowsAsync(syncFolder(join(folder, 'absent')));
});
