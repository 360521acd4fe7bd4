import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import { Code, StatusError } from '../../common/status.ts';
import { makeCertificate } from '../../test/support/certificate.ts';
import {
  hasPostgres,
  type PostgresServer,
  startPostgres,
} from '../../test/support/postgres-server.ts';
import { untilTrue } from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { tcpProxy } from '../../test/support/tcp-proxy.ts';
import type { PostgresOptions } from '../postgres/postgres-database.ts';
import { documentsContract } from './documents.contract.ts';
import type { Document, DocumentStore } from './documents.ts';
import { openDocuments } from './open.ts';
import { DOCUMENT_TABLES, openPostgresDocuments } from './postgres.ts';

const unavailable = { instanceOf: StatusError, code: Code.UNAVAILABLE } as const;

// A commit is only promised to be kept when a session asks for it: the server's default is not to.
let started: PostgresServer | undefined;
test.before(async () => {
  if (hasPostgres) started = await startPostgres({ synchronous_commit: 'off' });
});
test.after.always(() => started?.end());

function running(): PostgresServer {
  if (started === undefined) throw new Error('the server has not started');
  return started;
}

if (!hasPostgres) {
  test('documents in PostgreSQL', (t) => skip(t, 'no PostgreSQL: run scripts/ci-setup'));
} else {
  documentsContract('postgres', async () => {
    const store = await openDocuments(await running().database());
    return { store, end: () => store.close() };
  });
}

type Body = (t: ExecutionContext, running: PostgresServer) => Promise<void>;

/** One after the other: some of them stop the server. */
function withServer(title: string, body: Body): void {
  if (hasPostgres) test.serial(`postgres: ${title}`, (t) => body(t, running()));
}

async function opened(
  t: ExecutionContext,
  url: string,
  options?: PostgresOptions,
): Promise<DocumentStore> {
  const store = await openPostgresDocuments(url, options);
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

/** Runs statements on `store`, of the store at `url`, in a process of its own. */
function inProcess(t: ExecutionContext, url: string, body: string): ChildProcess {
  const source = `
    import { openPostgresDocuments } from ${JSON.stringify(import.meta.resolve('./postgres.ts'))};
    const store = await openPostgresDocuments(${JSON.stringify(url)});
    ${body}
    await store.close();`;
  const args = ['--input-type=module', '-e', source];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

const countOf = (document: Document | undefined): number =>
  ((document?.body ?? { n: 0 }) as { n: number }).n;

const ended = (child: ChildProcess) => new Promise((resolve) => child.once('close', resolve));

withServer('many that open an empty database at once make its tables once', async (t, running) => {
  for (let turn = 0; turn < 5; turn += 1) {
    const url = await running.database();
    const stores = await Promise.all(Array.from({ length: 8 }, () => openPostgresDocuments(url)));
    for (const store of stores) {
      t.deepEqual(await store.list('model'), []);
      await store.close();
    }
  }
});

withServer('processes that start and write at once lose no change', async (t, running) => {
  const url = await running.database();
  const increments = 40;
  const children = Array.from({ length: 4 }, () =>
    inProcess(
      t,
      url,
      `for (let done = 0; done < ${increments};) {
         const found = await store.get('count', 'c');
         const body = { n: (found?.body.n ?? 0) + 1 };
         try {
           await store.put('count', 'c', body, found?.revision ?? 0);
           done += 1;
         } catch (error) {
           if (error.code !== ${Code.ABORTED}) throw error;
         }
       }`,
    ),
  );
  t.deepEqual(await Promise.all(children.map(ended)), [0, 0, 0, 0]);
  const store = await opened(t, url);
  const total = 4 * increments;
  t.like(await store.get('count', 'c'), { revision: total, body: { n: total } });
});

withServer('a server killed at any moment loses nothing it acknowledged', async (t, running) => {
  const url = await running.database();
  const child = inProcess(
    t,
    url,
    `process.on('unhandledRejection', () => process.exit(0));
     process.on('uncaughtException', () => process.exit(0));
     for (let n = 1; ; n += 1) {
       await store.put('job', 'j' + n, { n, text: 'x'.repeat(5000) }, 0);
       process.stdout.write(n + '\\n');
     }`,
  );
  let acknowledged = 0;
  if (child.stdout === null) throw new Error('no output');
  for await (const line of createInterface(child.stdout)) {
    acknowledged = Number(line);
    if (acknowledged === 100) await running.crash();
  }
  t.true(acknowledged >= 100);
  await running.start();
  const store = await opened(t, url);
  for (let n = 1; n <= acknowledged; n += 1) {
    t.like(await store.get('job', `j${n}`), { revision: 1, body: { n } });
  }
});

withServer(
  'a server that goes is UNAVAILABLE, and used again once it is back',
  async (t, running) => {
    const url = await running.database();
    const store = await opened(t, url);
    await store.put('model', 'm', { a: 1 }, 0);
    await running.stop();
    const error = await t.throwsAsync(store.get('model', 'm'), unavailable);
    t.regex(error?.message ?? '', /postgres:\/\/127\.0\.0\.1:\d+\/test\d+: nothing listens there/);
    await t.throwsAsync(store.put('model', 'm', { a: 2 }, 1), unavailable);
    await t.throwsAsync(openDocuments(url), unavailable);
    const early = await opened(t, url, { mayBeAway: true });
    await t.throwsAsync(early.list('model'), unavailable);
    await running.start();
    for (const one of [store, early]) t.like(await one.get('model', 'm'), { body: { a: 1 } });
    t.is(await store.put('model', 'm', { a: 2 }, 1), 2);
  },
);

withServer('sessions that the server ended are replaced unseen', async (t, running) => {
  const url = await running.database();
  const store = await opened(t, url);
  await store.put('model', 'm', {}, 0);
  const admin = await session(t, url);
  await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'torus' AND datname = current_database()`);
  t.like(await store.get('model', 'm'), { revision: 1 });
});

withServer('a server that falls silent is UNAVAILABLE within a bound', async (t, running) => {
  const direct = new URL(await running.database());
  const proxy = await tcpProxy(running.port);
  t.teardown(() => proxy.end());
  direct.port = String(proxy.port);
  const timeouts = { connectTimeoutMs: 300, statementTimeoutMs: 100, mayBeAway: true };
  const store = await opened(t, direct.href, timeouts);
  await (await opened(t, direct.href)).put('model', 'm', {}, 0);
  // On a busy machine an answer may come later than this store waits.
  const answers = async () => (await store.get('model', 'm'))?.revision === 1;
  await untilTrue('it is connected', answers);
  proxy.silence();
  // The first call has a connection, which is given up; the second makes one.
  for (const calls of [1, 2]) {
    await t.throwsAsync(store.get('model', 'm'), unavailable, `call ${calls}`);
  }
  proxy.restore();
  await untilTrue('it answers again', answers);
});

withServer(
  'writers whose connections are cut lose nothing and write nothing twice',
  async (t, running) => {
    const direct = new URL(await running.database());
    const proxy = await tcpProxy(running.port);
    t.teardown(() => proxy.end());
    direct.port = String(proxy.port);
    const stores = [await opened(t, direct.href), await opened(t, direct.href)];
    await stores[0]?.put('count', 'c', { n: 0 }, 0);
    let [written, unknown, cuts] = [0, 0, 0];
    const writers = stores.map(async (store) => {
      while (cuts < 40) {
        try {
          const found = await store.get('count', 'c');
          await store.put('count', 'c', { n: countOf(found) + 1 }, found?.revision ?? 0);
          written += 1;
          // Cut at moments that differ from one to the next.
          if (written % 5 !== 0) continue;
          setImmediate(() => proxy.restore());
          cuts += 1;
        } catch (error) {
          const { code } = error as StatusError;
          if (code === Code.UNAVAILABLE) unknown += 1;
          else if (code !== Code.ABORTED) throw error;
        }
      }
    });
    await Promise.all(writers);
    const last = await (await opened(t, direct.href)).get('count', 'c');
    const n = countOf(last);
    t.is(last?.revision, n + 1);
    t.true(n >= written && n <= written + unknown, `${written} <= ${n} <= ${written + unknown}`);
    t.true(unknown > 0);
  },
);

withServer('a statement that another session holds up ends', async (t, running) => {
  const url = await running.database();
  const store = await opened(t, url);
  await store.put('model', 'm', {}, 0);
  const hasty = await opened(t, url, { statementTimeoutMs: 100, mayBeAway: true });
  const other = await session(t, url);
  await other.query('BEGIN; LOCK TABLE torus_documents');
  const error = await t.throwsAsync(hasty.put('model', 'm', {}, 1), unavailable);
  t.regex(error?.message ?? '', /longer than a statement may/);
  await other.query('ROLLBACK');
  t.is(await store.put('model', 'm', {}, 1), 2);
});

withServer('connections stay within their number, waiting calls too', async (t, running) => {
  const url = await running.database();
  const store = await opened(t, url, {
    ...{ maxConnections: 2, connectTimeoutMs: 60_000, statementTimeoutMs: 60_000 },
  });
  await store.put('model', 'm', {}, 0);
  const other = await session(t, url);
  await other.query('BEGIN; LOCK TABLE torus_documents');
  const reads = Array.from({ length: 1_100 }, () =>
    store.get('model', 'm').then(
      () => 'read',
      (error: StatusError) => error.message,
    ),
  );
  const refused = await Promise.race(reads);
  t.regex(refused, /1000 statements wait/);
  const { rows } = await other.query(`SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE application_name = 'torus' AND datname = current_database()`);
  t.true(rows[0]?.n <= 2);
  await other.query('ROLLBACK');
  const outcomes = await Promise.all(reads);
  const answered = outcomes.filter((outcome) => outcome === 'read').length;
  t.true(answered >= 1_000 && answered <= 1_002, String(answered));
});

withServer('a database of a newer schema is refused and left as it is', async (t, running) => {
  const url = await running.database();
  const newer = await session(t, url);
  await newer.query(`CREATE TABLE torus_schema (schema integer NOT NULL);
    INSERT INTO torus_schema VALUES (${DOCUMENT_TABLES.schema + 1})`);
  const error = await t.throwsAsync(openPostgresDocuments(url), {
    instanceOf: StatusError,
    code: Code.FAILED_PRECONDITION,
  });
  t.regex(error?.message ?? '', /schema 2.*reads up to 1: run the version that wrote it/);
  const { rows } = await newer.query("SELECT to_regclass('torus_documents') AS there");
  t.is(rows[0]?.there, null);
});

withServer('who may not enter is told so, without the password', async (t, running) => {
  const url = new URL(await running.database());
  const admin = await session(t, url.href);
  await admin.query("CREATE ROLE guest LOGIN PASSWORD 'hidden-word'");
  url.username = 'guest';
  url.password = 'hidden-word';
  const denied = await t.throwsAsync(openPostgresDocuments(url.href), { instanceOf: StatusError });
  t.is(denied?.code, Code.PERMISSION_DENIED);
  url.pathname = '/absent';
  const absent = await t.throwsAsync(openPostgresDocuments(url.href), { instanceOf: StatusError });
  t.is(absent?.code, Code.FAILED_PRECONDITION);
  url.search = 'sslmode=require';
  const noTls = await t.throwsAsync(openPostgresDocuments(url.href), { instanceOf: StatusError });
  t.is(noTls?.code, Code.FAILED_PRECONDITION);
  t.regex(noTls?.message ?? '', /speaks no TLS/);
  for (const error of [denied, absent, noTls]) {
    t.notRegex(JSON.stringify([error?.message, error?.stack, error?.cause]), /hidden-word/);
  }
});

withServer('a table that was dropped under us is told, not made anew', async (t, running) => {
  const url = await running.database();
  const store = await opened(t, url);
  await (await session(t, url)).query('DROP TABLE torus_documents');
  await t.throwsAsync(store.get('model', 'm'), { code: Code.FAILED_PRECONDITION });
});

if (hasPostgres) {
  test('postgres: TLS is verified as its mode says', async (t) => {
    let hasCertificate = false;
    const secured = await startPostgres({ ssl: 'on' }, (folder) => {
      hasCertificate = makeCertificate(folder, 'DNS:localhost');
      const at = (name: string) => join(folder, name);
      return hasCertificate
        ? { ssl_cert_file: at('cert.pem'), ssl_key_file: at('key.pem') }
        : { ssl: 'off' };
    });
    t.teardown(() => secured.end());
    if (!hasCertificate) return skip(t, 'no openssl');
    const plain = await secured.database();
    const named = plain.replace('127.0.0.1', 'localhost');
    const ca = `&sslrootcert=${join(secured.folder, 'cert.pem')}`;
    const accepted = [
      `${plain}?sslmode=require`,
      `${plain}?sslmode=verify-ca${ca}`,
      `${named}?sslmode=verify-full${ca}`,
    ];
    for (const url of accepted) {
      const store = await opened(t, url);
      t.deepEqual(await store.list('model'), []);
    }
    const { rows } = await (await session(t, plain)).query(`SELECT count(*)::int AS n
      FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'torus'`);
    t.is(rows[0]?.n, accepted.length);
    const refused = [`${plain}?sslmode=verify-full${ca}`, `${named}?sslmode=verify-full`];
    for (const url of refused) {
      const error = await t.throwsAsync(openPostgresDocuments(url), { instanceOf: StatusError });
      t.is(error?.code, Code.FAILED_PRECONDITION);
      t.regex(error?.message ?? '', /TLS certificate is not accepted/);
    }
  });
}
