// The cluster with its catalog in PostgreSQL and its artifacts on S3: both may go for a while, and
// no prediction notices; when they are back, what was waiting is done.
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { systemClock } from '../../common/clock.ts';
import { SINGLE_PROCESS_TIMING } from '../../control/leader.ts';
import { TINY_MLP, tinyMlpRequest, writeTinyRepository } from '../../loadtest/tiny-mlp.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import { LEADER_LEASE_MS } from '../../registry/registry.ts';
import { openS3Blobs } from '../../stores/blobs/s3.ts';
import { openDocuments } from '../../stores/documents/open.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { hasPostgres, startPostgres } from '../support/postgres-server.ts';
import { pause, untilTrue } from '../support/redis-server.ts';
import { hasS3, startS3 } from '../support/s3-server.ts';
import { skip } from '../support/skip.ts';
import { wholeCluster } from '../support/whole-cluster.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';

test('PostgreSQL and S3 go and come back: no call fails, and publishing goes on', async (t) => {
  if (!hasPostgres || !hasS3) return skip(t, 'no PostgreSQL or versitygw: run scripts/ci-setup');
  const ends: (() => Promise<unknown>)[] = [];
  t.teardown(async () => {
    for (const end of ends.reverse()) await end();
  });
  const postgres = await startPostgres();
  ends.push(() => postgres.end());
  const s3 = await startS3();
  ends.push(() => s3.end());
  const documents = await openDocuments(await postgres.database());
  ends.push(() => documents.close());
  const { credentials } = s3;
  const address = `s3://${await s3.bucket()}?endpoint=${s3.endpoint}`;
  const blobs = await openS3Blobs(address, { credentials });
  ends.push(() => blobs.close());
  const registry = new MemoryRegistry(systemClock);
  const over = { open: () => registry, timing: SINGLE_PROCESS_TIMING };
  const cluster = await wholeCluster((end) => ends.push(end), over, { documents, blobs });
  await cluster.startNode('node-1');
  const folder = await mkdtemp(join(tmpdir(), 'torus-repository-'));
  ends.push(() => rm(folder, { recursive: true, force: true }));
  await writeTinyRepository(folder);
  await cluster.importRepository(folder);
  const isReady = async (name: string): Promise<boolean> =>
    [...(await registry.copies()).values()]
      .flat()
      .some(({ model, state }) => model === name && state === 'READY');
  await untilTrue('the model is ready', () => isReady(TINY_MLP));
  const call = () => invokeUnary(cluster.front, INFER, tinyMlpRequest(), { timeoutMs: 30_000 });
  await call();

  await postgres.stop();
  await s3.stop();
  const untilMs = performance.now() + LEADER_LEASE_MS + 1_000;
  let answered = 0;
  while (performance.now() < untilMs) {
    await call();
    answered += 1;
    await pause(1);
  }
  t.true(answered > 10);
  await rename(join(folder, TINY_MLP), join(folder, 'later'));
  await t.throwsAsync(cluster.importRepository(folder), undefined, 'it can not be kept now');

  await postgres.start();
  await s3.start();
  await cluster.importRepository(folder);
  await untilTrue('what is published later is served', () => isReady('later'));
  await t.notThrowsAsync(call());
});
