import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DuckDBInstance } from '@duckdb/node-api';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { RESERVED_BYTES } from '../disk-room.ts';
import { datasetsContract } from './datasets.contract.ts';
import type { Column } from './datasets.ts';
import { openDuckdbDatasets } from './duckdb.ts';
import { openDuckdbFile } from './duckdb-file.ts';
import { MAX_COLUMNS } from './limits.ts';

const COLUMNS: readonly Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];

async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-datasets-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

datasetsContract('duckdb', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-datasets-'));
  const store = await openDuckdbDatasets(join(folder, 'new', 'datasets.duckdb'));
  return {
    store,
    async end() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});

/** A child that appends batches of 500 rows with one rejected each, for ever, and tells of each. */
function appendForEver(path: string, prefix = 'exec') {
  const source = `
    import { openDuckdbDatasets } from ${JSON.stringify(import.meta.resolve('./duckdb.ts'))};
    const store = await openDuckdbDatasets(${JSON.stringify(path)});
    await store.create('d', 1, ${JSON.stringify(COLUMNS)});
    let expectedOffset = await store.offset('d', 1, 'job');
    try {
      for (let batch = 1; ; batch += 1) {
        const rows = Array.from({ length: 500 }, (_, n) => [(batch - 1) * 500 + n]);
        const raw = 'y'.repeat(4000);
        const rejected = [{ rowNumber: batch, reason: 'x', raw }];
        const offset = String(batch);
        await store.append('d', 1, { rows, rejected, source: 'job', offset, expectedOffset });
        expectedOffset = offset;
        console.log(batch);
      }
    } catch (error) {
      console.log(JSON.stringify({ code: error.code, message: error.message }));
      console.log(JSON.stringify(await store.counts('d', 1)));
    }`;
  const script = `${prefix} "$0" --input-type=module -e "$1"`;
  return spawn('sh', ['-c', script, process.execPath, source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('a process killed in an append leaves whole batches, all that it acknowledged', async (t) => {
  const path = join(await temporaryFolder(t), 'datasets.duckdb');
  const child = appendForEver(path);
  let acknowledged = 0;
  for await (const line of createInterface(child.stdout)) {
    acknowledged = Number(line);
    if (acknowledged === 10) child.kill('SIGKILL');
  }
  t.true(acknowledged >= 10);
  const store = await openDuckdbDatasets(path);
  t.teardown(() => store.close());
  const batches = Number(await store.offset('d', 1, 'job'));
  t.true(batches === acknowledged || batches === acknowledged + 1);
  t.deepEqual(await store.counts('d', 1), { accepted: batches * 500, rejected: batches });
  t.is((await store.rejected('d', 1, 0, 1_000)).length, batches);
  let next = 0;
  for await (const batch of store.scan('d', 1)) {
    for (const value of batch.columns[0] ?? []) t.is(value, next++);
  }
  t.is(next, batches * 500);
});

test('a full disk is RESOURCE_EXHAUSTED; what was acknowledged stays readable', async (t) => {
  const path = join(await temporaryFolder(t), 'datasets.duckdb');
  // The largest file the child may write, in blocks of 512 bytes or 1 KiB.
  const child = appendForEver(path, 'ulimit -f 800; exec');
  const lines = [];
  for await (const line of createInterface(child.stdout)) lines.push(line);
  const counts = JSON.parse(lines.pop() ?? '');
  const error = JSON.parse(lines.pop() ?? '');
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /rows to version \d+ of data set .*: the disk is full/);
  t.false(error.message.includes(path));
  const batches = Number(lines.at(-1));
  t.deepEqual(counts, { accepted: batches * 500, rejected: batches });
});

test('a second opener is refused with what to do, in this process and in another', async (t) => {
  const path = join(await temporaryFolder(t), 'datasets.duckdb');
  const store = await openDuckdbDatasets(path);
  const refused = { instanceOf: StatusError, code: Code.FAILED_PRECONDITION };
  await t.throwsAsync(openDuckdbDatasets(path), refused);
  const source = `
    import { openDuckdbDatasets } from ${JSON.stringify(import.meta.resolve('./duckdb.ts'))};
    await openDuckdbDatasets(${JSON.stringify(path)}).catch((error) => {
      console.log(JSON.stringify({ code: error.code, message: error.message }));
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await Array.fromAsync(createInterface(child.stdout));
  const error = JSON.parse(line ?? '{}');
  t.is(error.code, Code.FAILED_PRECONDITION);
  t.true(error.message.includes(path));
  t.regex(error.message, /another process has it open/);
  await store.close();
  const again = await openDuckdbDatasets(path);
  await again.close();
});

test('the widest data sets fit the memory, several beside each other', async (t) => {
  const path = join(await temporaryFolder(t), 'datasets.duckdb');
  // Both an eighth of what they are: the default limit and MAX_COLUMNS.
  const store = await openDuckdbDatasets(path, { memoryLimitBytes: 64 * 2 ** 20 });
  t.teardown(() => store.close());
  const columns = Array.from({ length: MAX_COLUMNS / 8 }, (_, at) => ({
    name: `c${at}`,
    type: 'INT64' as const,
    isNullable: true,
  }));
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) await store.create(name, 1, columns);
  for (let batch = 0; batch < 5; batch += 1) {
    const rows = Array.from({ length: 250 }, (_, row) => columns.map((_, at) => (at * row) % 255));
    const offsets = { offset: String(batch + 1), expectedOffset: batch === 0 ? '' : String(batch) };
    for (const name of names) {
      await store.append(name, 1, { rows, rejected: [], source: 'job', ...offsets });
    }
  }
  for (const name of names) t.is((await store.counts(name, 1)).accepted, 1_250);
});

test('after a fatal error the file is opened again, with all that was committed', async (t) => {
  const file = await openDuckdbFile(join(await temporaryFolder(t), 'datasets.duckdb'));
  t.teardown(() => file.close());
  await file.transaction('write', (connection) => connection.run('CREATE TABLE kept (n INTEGER)'));
  const before = await file.run('read', async (connection) => connection);
  const fatal = file.run('write', async () => {
    throw new Error('FATAL Error: Failed to create checkpoint because of error: no memory');
  });
  await t.throwsAsync(fatal);
  await file.run('read', async (connection) => {
    t.not(connection, before);
    t.is((await connection.runAndReadAll('SELECT * FROM kept')).currentRowCount, 0);
  });
});

test('rows, rejected rows, offsets and seals outlive the process', async (t) => {
  const path = join(await temporaryFolder(t), 'datasets.duckdb');
  const first = await openDuckdbDatasets(path);
  await first.create('d', 1, COLUMNS);
  const rejected = [{ rowNumber: 2, reason: 'bad', raw: 'x' }];
  const batch = { rows: [[7], [8]], rejected, source: 'job', offset: '3', expectedOffset: '' };
  await first.append('d', 1, batch);
  await first.seal('d', 1);
  await first.close();
  const second = await openDuckdbDatasets(path);
  t.teardown(() => second.close());
  t.is(await second.offset('d', 1, 'job'), '3');
  t.deepEqual(await second.rejected('d', 1, 0, 10), rejected);
  const [scanned] = await Array.fromAsync(second.scan('d', 1));
  t.deepEqual(scanned, { rowCount: 2, columns: [[7, 8]] });
  const late = second.append('d', 1, { ...batch, expectedOffset: '3' });
  await t.throwsAsync(late, { code: Code.FAILED_PRECONDITION });
});

test('a file that is none of ours is refused with its path', async (t) => {
  const folder = await temporaryFolder(t);
  const garbage = join(folder, 'garbage');
  await writeFile(garbage, 'this is something else'.repeat(1_000));
  const error = await t.throwsAsync(openDuckdbDatasets(garbage), {
    instanceOf: StatusError,
    code: Code.DATA_LOSS,
  });
  t.true(error?.message.includes(garbage));
  const inFile = join(garbage, 'datasets.duckdb');
  await t.throwsAsync(openDuckdbDatasets(inFile), { code: Code.FAILED_PRECONDITION });

  const newer = join(folder, 'newer.duckdb');
  const instance = await DuckDBInstance.create(newer);
  const connection = await instance.connect();
  await connection.run('CREATE TABLE torus (schema INTEGER); INSERT INTO torus VALUES (99)');
  connection.closeSync();
  instance.closeSync();
  const refused = await t.throwsAsync(openDuckdbDatasets(newer), {
    code: Code.FAILED_PRECONDITION,
  });
  t.regex(refused?.message ?? '', /schema 99.*reads up to \d/);
});

test('a disk that is nearly full takes no more rows; those that are in stay', async (t) => {
  const folder = await temporaryFolder(t);
  let free = RESERVED_BYTES;
  const freeBytes = async (): Promise<number> => free;
  const store = await openDuckdbDatasets(join(folder, 'datasets.duckdb'), { freeBytes });
  await store.create('d', 1, COLUMNS);
  const batch = { source: 's', expectedOffset: '', offset: '1', rows: [[1n]], rejected: [] };
  await store.append('d', 1, batch);
  free -= 1;
  const next = { ...batch, expectedOffset: '1', offset: '2' };
  const error = await t.throwsAsync(store.append('d', 1, next), { instanceOf: StatusError });
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.deepEqual(await store.counts('d', 1), { accepted: 1, rejected: 0 });
  free += 1;
  t.deepEqual(await store.append('d', 1, next), { accepted: 2, rejected: 0 });
  await store.close();
});
