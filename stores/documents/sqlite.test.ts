import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { documentsContract } from './documents.contract.ts';
import { openSqliteDocuments, SQLITE_SCHEMA } from './sqlite.ts';

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-documents-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

documentsContract('sqlite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-documents-'));
  const store = openSqliteDocuments(join(folder, 'new', 'catalog.db'));
  return {
    store,
    async end() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

test('documents outlive the process, and two processes see each other', async (t) => {
  const path = join(await temporaryFolder(t), 'catalog.db');
  const first = openSqliteDocuments(path);
  await first.put('model', 'm', { a: 1 }, 0);
  const second = openSqliteDocuments(path);
  t.is(await second.put('model', 'm', { a: 2 }, 1), 2);
  await t.throwsAsync(first.put('model', 'm', { a: 3 }, 1), { code: Code.ABORTED });
  await first.close();
  await second.close();
  const again = openSqliteDocuments(path);
  t.like(await again.get('model', 'm'), { revision: 2, body: { a: 2 } });
  await again.close();
});

test('a process killed at any moment loses nothing it acknowledged', async (t) => {
  const path = join(await temporaryFolder(t), 'catalog.db');
  const source = `
    import { openSqliteDocuments } from ${JSON.stringify(import.meta.resolve('./sqlite.ts'))};
    const store = openSqliteDocuments(${JSON.stringify(path)});
    for (let n = 1; ; n += 1) {
      await store.put('job', 'j' + n, { n, text: 'x'.repeat(5000) }, 0);
      process.stdout.write(n + '\\n');
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let acknowledged = 0;
  for await (const line of createInterface(child.stdout)) {
    acknowledged = Number(line);
    if (acknowledged === 100) child.kill('SIGKILL');
  }
  t.true(acknowledged >= 100);
  const store = openSqliteDocuments(path);
  t.teardown(() => store.close());
  for (let n = 1; n <= acknowledged; n += 1) {
    t.like(await store.get('job', `j${n}`), { revision: 1, body: { n } });
  }
});

test('a full disk is RESOURCE_EXHAUSTED, and what was there stays readable', async (t) => {
  const path = join(await temporaryFolder(t), 'catalog.db');
  const store = openSqliteDocuments(path, { maxFileBytes: 128 * 1024 });
  t.teardown(() => store.close());
  await store.put('model', 'small', { fits: true }, 0);
  const error = await t.throwsAsync(store.put('model', 'large', 'x'.repeat(200_000), 0), {
    instanceOf: StatusError,
    code: Code.RESOURCE_EXHAUSTED,
  });
  t.false(error?.message.includes(path));
  t.is(await store.get('model', 'large'), undefined);
  t.like(await store.get('model', 'small'), { body: { fits: true } });
  t.is(await store.put('model', 'small', {}, 1), 2);
});

test('a place that can not be written is an error that names it', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'file'), 'no folder');
  const inFile = join(folder, 'file', 'catalog.db');
  const error = t.throws(() => openSqliteDocuments(inFile), { instanceOf: StatusError });
  t.true(error?.message.includes(join(folder, 'file')));
  t.is(error?.code, Code.FAILED_PRECONDITION);
  const onFolder = t.throws(() => openSqliteDocuments(folder), { instanceOf: StatusError });
  t.true(onFolder?.message.includes(folder));
});

test('a file of a newer schema is refused and left as it is', async (t) => {
  const path = join(await temporaryFolder(t), 'catalog.db');
  const newer = new DatabaseSync(path);
  newer.exec(`PRAGMA user_version = ${SQLITE_SCHEMA + 1}; CREATE TABLE later (x)`);
  newer.close();
  const error = t.throws(() => openSqliteDocuments(path), {
    instanceOf: StatusError,
    code: Code.FAILED_PRECONDITION,
  });
  t.regex(error?.message ?? '', /schema 2.*reads up to 1/);
  const database = new DatabaseSync(path);
  t.is(database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n, 1);
  database.close();
});

test('a file that is no database is DATA_LOSS and left as it is', async (t) => {
  const path = join(await temporaryFolder(t), 'catalog.db');
  await writeFile(path, 'this is something else'.repeat(100));
  t.throws(() => openSqliteDocuments(path), { instanceOf: StatusError, code: Code.DATA_LOSS });
  t.regex(await readFile(path, 'utf8'), /^this is something else/);
});
