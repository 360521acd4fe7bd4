import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { Column } from './datasets.ts';
import { openDatasets } from './open.ts';

const COLUMNS: readonly Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];

test('a folder, or the file in it by its scheme, is one DuckDB file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-datasets-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const file = join(folder, 'datasets.duckdb');
  for (const [version, address] of [folder, `duckdb:${file}`, `duckdb://${file}`].entries()) {
    const store = await openDatasets(address);
    await store.create('d', version + 1, COLUMNS);
    await t.notThrowsAsync(store.counts('d', 1));
    await store.close();
    await t.notThrowsAsync(access(file));
  }
});

test('another scheme is refused without what follows it', async (t) => {
  for (const address of ['mysql://me:hidden@127.0.0.1/torus', 'duckdb:', '', 'duckdb:http://x']) {
    const error = await t.throwsAsync(openDatasets(address), { instanceOf: StatusError });
    t.is(error?.code, Code.INVALID_ARGUMENT, address);
    t.notRegex(error?.message ?? '', /hidden/);
  }
});
