// Data sets in PostgreSQL when writers, connections, the server or its disk fail.
import { type ChildProcess, spawn } from 'node:child_process';
import { chown } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import { Code, StatusError } from '../../common/status.ts';
import {
  hasPostgres,
  type PostgresServer,
  startPostgres,
} from '../../test/support/postgres-server.ts';
import { skip } from '../../test/support/skip.ts';
import { smallDisk } from '../../test/support/small-disk.ts';
import { tcpProxy } from '../../test/support/tcp-proxy.ts';
import { openPostgresDatabase, type PostgresOptions } from '../postgres/postgres-database.ts';
import type { Column, DatasetStore, RowBatch } from './datasets.ts';
import { openPostgresDatasets } from './postgres.ts';
import { DATASET_TABLES } from './postgres-tables.ts';

const COLUMNS: readonly Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];
const expecting = (code: Code) => ({ instanceOf: StatusError, code });
const unavailable = expecting(Code.UNAVAILABLE);
/** Rows of a batch; one is rejected besides. */
const BATCH_ROWS = 500;

let started: PostgresServer | undefined;
test.before(async () => {
  if (hasPostgres) started = await startPostgres();
});
test.after.always(() => started?.end());

type Body = (t: ExecutionContext, running: PostgresServer) => Promise<void>;

/** One after the other: some of them stop the server. */
function withServer(title: string, body: Body): void {
  test.serial(`postgres: ${title}`, (t) => {
    if (!hasPostgres) return skip(t, 'no PostgreSQL: run scripts/ci-setup');
    if (started === undefined) throw new Error('the server has not started');
    return body(t, started);
  });
}

async function opened(
  t: ExecutionContext,
  url: string,
  options?: PostgresOptions,
): Promise<DatasetStore> {
  const store = await openPostgresDatasets(url, options);
  t.teardown(() => store.close());
  return store;
}

async function session(t: ExecutionContext, url: string): Promise<Client> {
  const client = new Client(url);
  client.on('error', () => undefined);
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** The batch of that number, from 1, of a source that sends no other. */
function batchOf(number: number, source = 'job'): RowBatch {
  const rows = Array.from({ length: BATCH_ROWS }, (_, n) => [(number - 1) * BATCH_ROWS + n]);
  const rejected = [{ rowNumber: number, reason: 'x', raw: 'y'.repeat(1_000) }];
  const expectedOffset = number === 1 ? '' : String(number - 1);
  return { rows, rejected, source, offset: String(number), expectedOffset };
}

/** A child that appends batches of version 1 of 'd' as long as it may, and tells of each. */
function appendForEver(t: ExecutionContext, url: string, source = 'job'): ChildProcess {
  const script = `
    import { openPostgresDatasets } from ${JSON.stringify(import.meta.resolve('./postgres.ts'))};
    const batchOf = ${batchOf.toString().replaceAll('BATCH_ROWS', String(BATCH_ROWS))};
    const store = await openPostgresDatasets(${JSON.stringify(url)});
    await store.create('d', 1, ${JSON.stringify(COLUMNS)});
    for (let lost = 0; ; ) {
      const number = Number(await store.offset('d', 1, ${JSON.stringify(source)})) + 1;
      try {
        await store.append('d', 1, batchOf(number, ${JSON.stringify(source)}));
        console.log(number);
      } catch (error) {
        if (error.code === ${Code.FAILED_PRECONDITION}) break;
        if (error.code !== ${Code.ABORTED}) throw error;
      }
    }
    await store.close();`;
  const args = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

async function linesOf(child: ChildProcess, each: (line: string) => unknown): Promise<void> {
  if (child.stdout === null) throw new Error('no output');
  for await (const line of createInterface(child.stdout)) await each(line);
}

/** Rows, rejected rows and offset are those of whole batches; returns how many. */
async function checkWhole(t: ExecutionContext, store: DatasetStore): Promise<number> {
  const batches = Number(await store.offset('d', 1, 'job'));
  t.deepEqual(await store.counts('d', 1), { accepted: batches * BATCH_ROWS, rejected: batches });
  t.is((await store.rejected('d', 1, 0, 1_000)).length, Math.min(batches, 1_000));
  let next = 0;
  let isInOrder = true;
  for await (const batch of store.scan('d', 1)) {
    for (const value of batch.columns[0] ?? []) isInOrder &&= value === next++;
  }
  t.true(isInOrder);
  t.is(next, batches * BATCH_ROWS);
  return batches;
}

/** Appends stop there, within their transaction, with all rows written. */
const HOLD_OFFSETS = 'BEGIN; LOCK TABLE torus_dataset_offsets IN SHARE MODE';
const HELD_UP = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
  AND application_name = 'torus' AND wait_event_type = 'Lock' AND query LIKE 'INSERT%offsets%'`;

/** Another session's number than `before`. */
async function heldUp(watcher: Client, before?: number): Promise<number> {
  for (;;) {
    const { rows } = await watcher.query(HELD_UP);
    const pids = rows.map(({ pid }) => Number(pid));
    const found = pids.find((pid) => pid !== before);
    if (found !== undefined) return found;
    await watcher.query('SELECT pg_sleep(0.01)');
  }
}

withServer('a process killed in an append leaves whole batches, all it told of', async (t, at) => {
  const url = await at.database();
  const child = appendForEver(t, url);
  let told = 0;
  await linesOf(child, (line) => {
    told = Number(line);
    if (told === 10) child.kill('SIGKILL');
  });
  const batches = await checkWhole(t, await opened(t, url));
  t.true(batches === told || batches === told + 1, `${batches} after ${told}`);
});

withServer('a batch whose rows are in is gone with its writer', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  await store.append('d', 1, batchOf(1));
  const [other, watcher] = [await session(t, url), await session(t, url)];
  await other.query(HOLD_OFFSETS);
  const child = appendForEver(t, url);
  const ended = new Promise((resolve) => child.once('close', resolve));
  const pid = await heldUp(watcher);
  child.kill('SIGKILL');
  await ended;
  await other.query('ROLLBACK');
  // Its session ends when it has nobody to answer to.
  const isGone = 'SELECT 1 FROM pg_stat_activity WHERE pid = $1';
  while ((await watcher.query(isGone, [pid])).rows.length > 0);
  t.is(await checkWhole(t, store), 1);
  await store.append('d', 1, batchOf(2));
  t.is(await checkWhole(t, store), 2);
});

withServer('an append whose session is ended is done anew, once and whole', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  const [other, watcher] = [await session(t, url), await session(t, url)];
  await other.query(HOLD_OFFSETS);
  const append = store.append('d', 1, batchOf(1));
  const first = await heldUp(watcher);
  await watcher.query('SELECT pg_terminate_backend($1)', [first]);
  await heldUp(watcher, first);
  await other.query('ROLLBACK');
  t.deepEqual(await append, { accepted: BATCH_ROWS, rejected: 1 });
  t.is(await checkWhole(t, store), 1);
  // Ended twice, it is told; nothing of it is there.
  await other.query(HOLD_OFFSETS);
  const refused = t.throwsAsync(store.append('d', 1, batchOf(2)), unavailable);
  const third = await heldUp(watcher);
  await watcher.query('SELECT pg_terminate_backend($1)', [third]);
  const fourth = await heldUp(watcher, third);
  await watcher.query('SELECT pg_terminate_backend($1)', [fourth]);
  await refused;
  await other.query('ROLLBACK');
  t.is(await checkWhole(t, store), 1);
});

withServer(
  'processes that append one source write each batch once; a seal ends them',
  async (t, at) => {
    const url = await at.database();
    const children = [appendForEver(t, url), appendForEver(t, url), appendForEver(t, url)];
    const told: number[] = [];
    const store = await opened(t, url);
    await store.create('d', 1, COLUMNS);
    let sealed: Promise<unknown> | undefined;
    const reading = children.map((child) =>
      linesOf(child, (line) => {
        told.push(Number(line));
        if (told.length >= 30) sealed ??= store.seal('d', 1);
      }),
    );
    await Promise.all(reading);
    const batches = await checkWhole(t, store);
    t.deepEqual(
      told.toSorted((a, b) => a - b),
      Array.from({ length: batches }, (_, number) => number + 1),
    );
    t.deepEqual(await sealed, await store.counts('d', 1));
  },
);

withServer('a server that is killed loses nothing it acknowledged', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  let told = 0;
  let crashed: Promise<void> | undefined;
  const writing = (async () => {
    for (;;) {
      await store.append('d', 1, batchOf(told + 1));
      told += 1;
      if (told === 20) crashed = at.crash();
    }
  })();
  await t.throwsAsync(writing, unavailable);
  await crashed;
  await at.start();
  const batches = await checkWhole(t, store);
  t.true(batches === told || batches === told + 1);
});

withServer('a server that goes is UNAVAILABLE, and used again once it is back', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  await store.append('d', 1, batchOf(1));
  const scan = store.scan('d', 1, { batchRows: 100 })[Symbol.asyncIterator]();
  await scan.next();
  await at.stop();
  await t.throwsAsync(store.counts('d', 1), unavailable);
  await t.throwsAsync(async () => scan.next(), unavailable);
  const error = await t.throwsAsync(store.append('d', 1, batchOf(2)), unavailable);
  t.regex(error?.message ?? '', /append rows to version 1 of data set d at postgres:.*nothing/);
  const early = await opened(t, url, { mayBeAway: true });
  await t.throwsAsync(early.counts('d', 1), unavailable);
  await at.start();
  await early.append('d', 1, batchOf(2));
  t.is(await checkWhole(t, store), 2);
});

withServer('a server that falls silent is UNAVAILABLE within a bound', async (t, at) => {
  const direct = new URL(await at.database());
  const proxy = await tcpProxy(at.port);
  t.teardown(() => proxy.end());
  direct.port = String(proxy.port);
  const timeouts = { connectTimeoutMs: 2_000, statementTimeoutMs: 1_000 };
  const store = await opened(t, direct.href, timeouts);
  await store.create('d', 1, COLUMNS);
  proxy.silence();
  await t.throwsAsync(store.append('d', 1, batchOf(1)), unavailable);
  proxy.restore();
  await store.append('d', 1, batchOf(1));
  t.is(await checkWhole(t, store), 1);
});

withServer('a writer that stands still in an append does not hold others up', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  const still = await openPostgresDatabase(url, DATASET_TABLES, {
    idleTransactionTimeoutMs: 1_000,
  });
  t.teardown(() => still.close());
  let runs = 0;
  await still.transaction('stand still', async (session) => {
    await session.query('SELECT 1 FROM torus_dataset_versions FOR UPDATE');
    runs += 1;
    // Waits for what the transaction holds, until the server takes it from it.
    if (runs === 1) await store.append('d', 1, batchOf(1));
    await session.query('SELECT 1');
  });
  t.is(runs, 2);
  t.is(await checkWhole(t, store), 1);
});

withServer('a full disk is RESOURCE_EXHAUSTED; what was told of stays readable', async (t, at) => {
  const disk = await smallDisk(24 * 2 ** 20);
  if (disk === undefined) return skip(t, 'no small disk can be mounted here');
  t.teardown(() => disk.end());
  await chown(disk.folder, 65_534, 65_534);
  const admin = await session(t, await at.database());
  await admin.query(`CREATE TABLESPACE small LOCATION '${disk.folder}'`);
  await admin.query('CREATE DATABASE small TABLESPACE small');
  const url = `postgres://postgres@127.0.0.1:${at.port}/small`;
  const store = await openPostgresDatasets(url);
  await store.create('d', 1, COLUMNS);
  await store.create('large', 1, COLUMNS);
  await store.append('d', 1, batchOf(1));
  let [told, error]: [number, unknown] = [0, undefined];
  while (error === undefined && told < 1_000) {
    try {
      const raw = Array.from({ length: 4_000 }, (_, n) =>
        String.fromCharCode((n * told * 7) % 65_000),
      );
      const rejected = batchOf(1).rejected.map((row) => ({ ...row, raw: raw.join('') }));
      const many = Array.from({ length: 100 }, () => rejected).flat();
      await store.append('large', 1, { ...batchOf(told + 1), rejected: many });
      told += 1;
    } catch (thrown) {
      error = thrown;
    }
  }
  t.true(error instanceof StatusError && error.code === Code.RESOURCE_EXHAUSTED, String(error));
  t.regex(String(error), /disk is full/);
  t.is((await store.counts('large', 1)).accepted, told * BATCH_ROWS);
  t.is(await checkWhole(t, store), 1);
  await store.remove('large', 1);
  await store.append('d', 1, batchOf(2));
  t.is(await checkWhole(t, store), 2);
  await store.close();
  await admin.query('DROP DATABASE small WITH (FORCE)');
  await admin.query('DROP TABLESPACE small');
});

withServer('many that open an empty database at once make its tables once', async (t, at) => {
  const url = await at.database();
  const stores = await Promise.all(Array.from({ length: 8 }, () => openPostgresDatasets(url)));
  await Promise.all(stores.map((store) => store.create('d', 1, COLUMNS)));
  for (const store of stores) {
    t.deepEqual(await store.counts('d', 1), { accepted: 0, rejected: 0 });
    await store.close();
  }
});

withServer('a database of a newer schema is refused and left as it is', async (t, at) => {
  const url = await at.database();
  const newer = await session(t, url);
  await newer.query(`CREATE TABLE torus_dataset_schema (schema integer NOT NULL);
    INSERT INTO torus_dataset_schema VALUES (${DATASET_TABLES.schema + 1})`);
  const refused = openPostgresDatasets(url);
  const error = await t.throwsAsync(refused, expecting(Code.FAILED_PRECONDITION));
  t.regex(error?.message ?? '', /the data sets in postgres.* has schema 2.*reads up to 1/);
  const { rows } = await newer.query("SELECT to_regclass('torus_dataset_versions') AS there");
  t.is(rows[0]?.there, null);
});

withServer('a table that was dropped under us is told, not taken for a removal', async (t, at) => {
  const url = await at.database();
  const store = await opened(t, url);
  await store.create('d', 1, COLUMNS);
  await store.append('d', 1, batchOf(1));
  await (await session(t, url)).query('DROP TABLE torus_dataset_rows_1');
  const scan = Array.fromAsync(store.scan('d', 1));
  await t.throwsAsync(scan, expecting(Code.FAILED_PRECONDITION));
});
