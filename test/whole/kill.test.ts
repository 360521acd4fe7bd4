// SIGKILL in the middle of work: what starts again tells the truth and finishes what was begun.
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { Job } from '../../proto/gen/torus/v1/job.ts';
import { dataFolder, startTorus, type TorusProcess, torus } from '../support/torus-process.ts';

const DIGITS = fileURLToPath(new URL('../testdata/digits/digits.csv', import.meta.url));

async function get(server: TorusProcess, path: string): Promise<Record<string, unknown>> {
  const response = await fetch(`http://${server.http}${path}`);
  return (await response.json()) as Record<string, unknown>;
}

/** Waits until a job satisfies the condition: its progress, or its end. */
async function jobThat(server: TorusProcess, id: string, holds: (job: Job) => boolean) {
  for (;;) {
    const job = Job.fromJSON(await get(server, `/api/v1/jobs/${id}`));
    if (holds(job)) return job;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const ended = (job: Job): boolean =>
  ['JOB_STATE_SUCCEEDED', 'JOB_STATE_FAILED', 'JOB_STATE_CANCELLED'].includes(job.state);

async function post(server: TorusProcess, path: string, body: string, type: string) {
  const headers = { 'content-type': type };
  const response = await fetch(`http://${server.http}${path}`, { method: 'POST', body, headers });
  return (await response.json()) as Record<string, string>;
}

test('killed while ingesting: accepted + rejected = read, and the import finishes', async (t) => {
  const data = await dataFolder(t);
  const rows = 120_000;
  const lines = Array.from({ length: rows }, (_, i) => (i % 1_000 === 7 ? 'bad\n' : `${i},${i}\n`));
  const csv = `a,b\n${lines.join('')}`;
  const first = await startTorus({ data });
  t.teardown(async () => void (await first.end('SIGKILL')));
  const blob = await post(first, '/api/v1/blobs', csv, 'application/octet-stream');
  const spec = { blobSha256: blob.sha256, fileName: 'big.csv', seal: true };
  const path = '/api/v1/datasets/big/import';
  const started = await post(first, path, JSON.stringify(spec), 'application/json');
  const id = (started.name ?? '').split('/').at(-1) ?? '';
  await jobThat(first, id, (job) => (job.progress?.fraction ?? 0) > 0.05 || ended(job));
  await first.end('SIGKILL');

  const second = await startTorus({ data });
  t.teardown(async () => void (await second.end('SIGKILL')));
  const job = await jobThat(second, id, ended);
  t.is(job.state, 'JOB_STATE_SUCCEEDED', job.error?.message);
  const shown = await torus([
    'dataset',
    'show',
    'big',
    '--server',
    `http://${second.http}`,
    '--json',
  ]);
  const { versions } = JSON.parse(shown.stdout) as { versions: Record<string, string>[] };
  t.is(versions.length, 1);
  t.like(versions[0], {
    state: 'DATA_SET_VERSION_STATE_SEALED',
    readRows: String(rows),
    acceptedRows: String(rows - rows / 1_000),
    rejectedRows: String(rows / 1_000),
  });
});

test('killed while training, then while publishing: one version comes of it', async (t) => {
  const data = await dataFolder(t);
  const first = await startTorus({ data });
  t.teardown(async () => void (await first.end('SIGKILL')));
  const at = (server: TorusProcess): string[] => ['--server', `http://${server.http}`];
  t.is((await torus(['dataset', 'add', 'digits', DIGITS, ...at(first)])).code, 0);
  const flags = ['--dataset', 'digits', '--target', 'target', '--model', 'digits'];
  const train = ['train', ...flags, '--epochs', '8', '--detach', '--json'];
  const started = await torus([...train, ...at(first)]);
  t.is(started.code, 0, started.stderr);
  const id = String((JSON.parse(started.stdout) as { name: string }).name.split('/').at(-1));
  await jobThat(first, id, (job) => (job.progress?.fraction ?? 0) > 0.1 || ended(job));
  await first.end('SIGKILL');

  // The second life is killed when the job is near its end: exporting or publishing.
  const second = await startTorus({ data });
  t.teardown(async () => void (await second.end('SIGKILL')));
  await jobThat(second, id, (job) => (job.progress?.fraction ?? 0) > 0.85 || ended(job));
  await second.end('SIGKILL');

  const third = await startTorus({ data });
  t.teardown(async () => void (await third.end('SIGKILL')));
  const job = await jobThat(third, id, ended);
  t.is(job.state, 'JOB_STATE_SUCCEEDED', job.error?.message);
  const { modelVersions } = await get(third, '/api/v1/models/digits/versions');
  t.is((modelVersions as unknown[]).length, 1);
});

test('a data folder that cannot be written is refused at start, nothing half-made', async (t) => {
  const data = await dataFolder(t);
  const file = join(dirname(data), 'file');
  await writeFile(file, '');
  const refused = await torus(['up', '--data', join(file, 'data')]);
  t.is(refused.code, 1);
  t.regex(refused.stderr, /can't be written.*--data DIR/);
});
