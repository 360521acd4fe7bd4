import test from 'ava';
import {
  hasPostgres,
  type PostgresServer,
  startPostgres,
} from '../../test/support/postgres-server.ts';
import { skip } from '../../test/support/skip.ts';
import { datasetsContract } from './datasets.contract.ts';
import { openDatasets } from './open.ts';

let started: PostgresServer | undefined;
test.before(async () => {
  if (hasPostgres) started = await startPostgres();
});
test.after.always(() => started?.end());

function running(): PostgresServer {
  if (started === undefined) throw new Error('the server has not started');
  return started;
}

if (!hasPostgres) {
  test('data sets in PostgreSQL', (t) => skip(t, 'no PostgreSQL: run scripts/ci-setup'));
} else {
  datasetsContract('postgres', async () => {
    const store = await openDatasets(await running().database());
    return { store, end: () => store.close() };
  });
}
