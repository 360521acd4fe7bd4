import test from 'ava';
import { Code } from '../../common/status.ts';
import {
  hasPostgres,
  type PostgresServer,
  startPostgres,
} from '../../test/support/postgres-server.ts';
import { skip } from '../../test/support/skip.ts';
import { datasetsContract } from './datasets.contract.ts';
import type { Column, DatasetStore } from './datasets.ts';
import { openDatasets } from './open.ts';
import { openPostgresDatasets } from './postgres.ts';
import { Turns } from './turns.ts';

const COLUMNS: readonly Column[] = [{ name: 'n', type: 'INT64', isNullable: false }];
/** A busy machine is no failure here. */
const PATIENT = { connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 };
const BATCH = { rejected: [], source: 'job', offset: '2', expectedOffset: '' };

let started: PostgresServer | undefined;
test.before(async () => {
  if (hasPostgres) started = await startPostgres();
});
test.after.always(() => started?.end());

function running(): PostgresServer {
  if (started === undefined) throw new Error('the server has not started');
  return started;
}

const turns = new Turns();

/** In a database of its own, one after the other: making many at once takes seconds each. */
function opened(): Promise<DatasetStore> {
  return turns.take(async () => openPostgresDatasets(await running().database(), PATIENT));
}

if (!hasPostgres) {
  test('data sets in PostgreSQL', (t) => skip(t, 'no PostgreSQL: run scripts/ci-setup'));
} else {
  datasetsContract('postgres', async () => {
    const store = await opened();
    return { store, end: () => store.close() };
  });

  test('postgres: long rows come in few at a time, too long ones are refused', async (t) => {
    const store = await opened();
    t.teardown(() => store.close());
    await store.create('d', 1, [{ name: 'text', type: 'STRING', isNullable: false }]);
    const text = (row: number): string => `${row} ${'x'.repeat(2 ** 20)}`;
    for (let batch = 0; batch < 10; batch += 1) {
      const rows = [0, 1, 2, 3].map((row) => [text(batch * 4 + row)]);
      const offsets = { offset: `${batch + 1}`, expectedOffset: batch === 0 ? '' : `${batch}` };
      await store.append('d', 1, { rows, rejected: [], source: 'job', ...offsets });
    }
    const sizes: number[] = [];
    let next = 0;
    for await (const { rowCount, columns } of store.scan('d', 1)) {
      sizes.push(rowCount);
      for (const value of columns[0] ?? []) t.true(value === text(next++));
    }
    t.is(next, 40);
    t.true(Math.max(...sizes) <= 20, String(sizes));
    const batch = { rejected: [], source: 'job', offset: '11', expectedOffset: '10' };
    const rows = [['short'], ['x'.repeat(2 ** 26)]];
    const refused = store.append('d', 1, { ...batch, rows });
    const error = await t.throwsAsync(refused, { code: Code.INVALID_ARGUMENT });
    t.regex(error?.message ?? '', /row 1 of the batch takes 6710\d+ bytes/);
    t.is((await store.counts('d', 1)).accepted, 40);
  });

  test('postgres: what one process removes and makes anew ends the scan of another', async (t) => {
    const url = await running().database();
    const [one, other] = [await openDatasets(url), await openPostgresDatasets(url, PATIENT)];
    t.teardown(() => Promise.all([one.close(), other.close()]));
    await one.create('d', 1, COLUMNS);
    await one.append('d', 1, { ...BATCH, rows: [[1], [2]] });
    const scan = other.scan('d', 1, { batchRows: 1 })[Symbol.asyncIterator]();
    t.is((await scan.next()).value?.rowCount, 1);
    await one.remove('d', 1);
    await one.create('d', 1, COLUMNS);
    await one.append('d', 1, { ...BATCH, rows: [[3], [4]] });
    await t.throwsAsync(async () => scan.next(), { code: Code.NOT_FOUND });
    const left = await Array.fromAsync(other.scan('d', 1));
    t.deepEqual(left, [{ rowCount: 2, columns: [[3, 4]] }]);
  });
}
