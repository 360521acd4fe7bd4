// The REST API over the real control and stores, called as the command line calls it and as a
// browser's form would.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Catalog } from '../catalog/catalog.ts';
import { restClient } from '../cli/client/rest.ts';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import { Code } from '../common/status.ts';
import { startControl } from '../control/control.ts';
import { SINGLE_PROCESS_TIMING } from '../control/leader.ts';
import { startGateway } from '../gateway/gateway.ts';
import { ClusterStatus } from '../proto/gen/torus/v1/cluster_service.ts';
import { DataSet } from '../proto/gen/torus/v1/data_set.ts';
import { Job, JobState } from '../proto/gen/torus/v1/job.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { openDirectoryBlobs } from '../stores/blobs/directory.ts';
import { httpBlobs } from '../stores/blobs/http-client.ts';
import { serveBlobs } from '../stores/blobs/http-server.ts';
import { MemoryDatasets } from '../stores/datasets/memory.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { defineService } from '../transport/service.ts';

const log = createLog({ role: 'test', level: 'silent' });

async function start(t: ExecutionContext) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-rest-'));
  const blobs = await openDirectoryBlobs(join(folder, 'blobs'));
  const blobServer = serveBlobs(blobs);
  await new Promise<void>((resolve) => blobServer.listen(0, '127.0.0.1', resolve));
  const remote = httpBlobs(`http://127.0.0.1:${(blobServer.address() as AddressInfo).port}`);
  const registry = new MemoryRegistry(systemClock);
  const control = await startControl({
    catalog: new Catalog(new MemoryDocuments()),
    blobs,
    datasets: new MemoryDatasets(),
    registry,
    clock: systemClock,
    dateMs: Date.now,
    id: 'control-1',
    timing: SINGLE_PROCESS_TIMING,
    log,
    metrics: createMetrics(),
  });
  const gateway = await startGateway({
    host: '127.0.0.1',
    port: 0,
    inference: defineService([], log),
    admin: control.backend,
    blobs: remote,
    log,
    metrics: createMetrics(),
    drainTimeoutMs: 500,
  });
  const url = `http://127.0.0.1:${gateway.port}`;
  t.teardown(async () => {
    await gateway.stop();
    await control.stop();
    await remote.close();
    blobServer.closeAllConnections();
    await new Promise((resolve) => blobServer.close(resolve));
    await blobs.close();
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  });
  const form = async (path: string, parts: Readonly<Record<string, File>>) => {
    const body = new FormData();
    for (const [field, file] of Object.entries(parts)) body.append(field, file);
    const response = await fetch(`${url}${path}`, { method: 'POST', body });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
  const incoming = async () => (await readdir(join(folder, 'blobs', 'incoming'))).length;
  return { url, folder, form, blobs, incoming, client: restClient(url) };
}

const IMPORT = '/api/v1/datasets/numbers/import';

test('a data set: a file goes up, the import is queued, watched, cancelled', async (t) => {
  const { client, folder } = await start(t);
  const file = join(folder, 'numbers.csv');
  await writeFile(file, 'a,b\n1,2\n');
  const blob = (await client.upload('/api/v1/blobs', file)) as { sha256: string };
  const job = Job.fromJSON(
    await client.call('POST', IMPORT, {
      blobSha256: blob.sha256,
      fileName: 'numbers.csv',
      format: 'csv',
      maxBadRowRatio: 0.25,
      seal: true,
    }),
  );
  t.is(job.state, JobState.QUEUED);
  t.like(job.spec, {
    $case: 'dataSetImport',
    dataSetImport: { dataSet: 'datasets/numbers', maxBadRowRatio: 0.25, seal: true },
  });
  const set = DataSet.fromJSON(await client.call('GET', '/api/v1/datasets/numbers'));
  t.is(set.name, 'datasets/numbers');
  const id = job.name.slice('jobs/'.length);
  const states: string[] = [];
  for await (const event of client.watch(`/api/v1/jobs/${id}/watch`)) {
    states.push(Job.fromJSON(event).state);
    if (states.length === 1) await client.call('POST', `/api/v1/jobs/${id}/cancel`);
  }
  t.deepEqual([states[0], states.at(-1)], [JobState.QUEUED, JobState.CANCELLED]);
  const listed = (await client.call(
    'GET',
    '/api/v1/jobs?kind=import_data_set&state=cancelled',
  )) as {
    jobs: unknown[];
  };
  t.deepEqual(
    listed.jobs.map((one) => Job.fromJSON(one).name),
    [job.name],
  );
  const none = (await client.call('GET', '/api/v1/jobs?kind=TRAIN')) as { jobs: unknown[] };
  t.deepEqual(none.jobs, []);
});

test('a form brings a file of a data set, or several of a model', async (t) => {
  const { form, client, blobs } = await start(t);
  const csv = new File(['a,b\n1,2\n'], 'numbers.csv');
  const set = await form(`${IMPORT}?format=csv&seal=true&max_bad_row_ratio=0.5`, { file: csv });
  t.is(set.status, 202);
  const { spec } = Job.fromJSON(set.json);
  t.like(spec, {
    dataSetImport: {
      fileName: 'numbers.csv',
      format: 'DATA_SET_FORMAT_CSV',
      maxBadRowRatio: 0.5,
      seal: true,
    },
  });
  const model = await form('/api/v1/models/m/versions?promote=true&version=7', {
    'model.onnx': new File(['onnx'], 'whatever.bin'),
    'weights/a.bin': new File(['weights'], 'a.bin'),
    file: new File(['platform: "onnxruntime_onnx"'], 'config.pbtxt'),
  });
  t.is(model.status, 202, JSON.stringify(model.json));
  const job = Job.fromJSON(model.json);
  const imported = job.spec?.$case === 'modelImport' ? job.spec.modelImport : undefined;
  t.like(imported, { model: 'models/m', promote: true, version: 7n });
  t.deepEqual(
    imported?.files.map(({ path }) => path),
    ['model.onnx', 'weights/a.bin', 'config.pbtxt'],
  );
  t.like(await blobs.stat(imported?.files[1]?.sha256 ?? ''), { sizeBytes: 7 });
  await client.call('POST', '/api/v1/models', { modelId: 'n', model: { description: 'd' } });
  const models = (await client.call('GET', '/api/v1/models')) as { models: { name: string }[] };
  t.true(models.models.some(({ name }) => name === 'models/n'));
});

test('a model is created, changed field by field, and removed', async (t) => {
  const { client } = await start(t);
  const policy = { minCopies: 2, maxCopies: 3 };
  await client.call('POST', '/api/v1/models', { modelId: 'm', model: { policy } });
  const path = '/api/v1/models/m?update_mask=policy.min_copies,description';
  const changed = await client.call('PATCH', path, {
    description: 'new',
    policy: { minCopies: 1 },
  });
  t.like(changed, { description: 'new', policy: { minCopies: 1, maxCopies: 3 } });
  const again = client.call('POST', '/api/v1/models', { modelId: 'm' });
  t.like(await t.throwsAsync(again), { code: Code.ALREADY_EXISTS });
  t.is(await client.call('DELETE', '/api/v1/models/m?force=true'), undefined);
  t.like(await t.throwsAsync(client.call('GET', '/api/v1/models/m')), { code: Code.NOT_FOUND });
});

test('what is no name is refused where it would be made, not found where it is used', async (t) => {
  const { client, form, blobs } = await start(t);
  const bad = encodeURIComponent('../../etc');
  const file = new File(['x'], 'x.csv');
  for (const answer of [
    await form(`/api/v1/datasets/${bad}/import`, { file }),
    await form(`/api/v1/models/${bad}/versions`, { file }),
    await form('/api/v1/models/m/versions', { '../../x': file }),
  ]) {
    t.like(answer, { status: 400, json: { code: 'INVALID_ARGUMENT' } });
  }
  for (const [method, path] of [
    ['GET', `/api/v1/datasets/${bad}`],
    ['GET', `/api/v1/datasets/${bad}/versions/1/rejected`],
    ['POST', `/api/v1/datasets/${bad}/seal`],
    ['DELETE', `/api/v1/models/${bad}`],
    ['GET', '/api/v1/models/m/versions/-1'],
    ['GET', '/api/v1/models/m/versions/1e3'],
    ['GET', `/api/v1/jobs/${bad}/watch`],
    ['GET', '/api/v1/jobs/unknown/watch'],
  ] as const) {
    t.like(await t.throwsAsync(client.call(method, path), undefined, path), {
      code: Code.NOT_FOUND,
    });
  }
  t.is((await blobs.list('', 10)).length, 1);
});

test('mistakes in a request are told with the field', async (t) => {
  const { client, form } = await start(t);
  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    ['/api/v1/jobs', { dataset: 'x' }, /"dataset" is unknown/],
    ['/api/v1/jobs', { algorithm: 'magic' }, /"magic"; it is one of .*ALGORITHM_MLP/],
    ['/api/v1/jobs', { modelId: 5 }, /modelId|model_id/],
    ['/api/v1/jobs', { dataSet: 'datasets/x', modelId: 'm' }, /./],
    [IMPORT, { blobSha256: 'x' }, /blob_sha256/],
    [IMPORT, { format: 'xml' }, /format must be one of csv, json, jsonl, parquet, not "xml"/],
    ['/api/v1/models', { modelId: 'a/b' }, /is not allowed: it must start with/],
  ];
  for (const [path, body, message] of wrong) {
    await t.throwsAsync(client.call('POST', path, body), { message }, JSON.stringify(body));
  }
  for (const query of ['seal=maybe', 'format=xml', 'max_bad_row_ratio=2', 'max_bad_row_ratio=x']) {
    const answer = await form(`${IMPORT}?${query}`, { file: new File(['a\n1'], 'a.csv') });
    t.is(answer.status, 400, query);
  }
  t.is((await form('/api/v1/models/m/versions?version=x', {})).status, 400);
});

test('forms that are broken, empty or too many are refused, and nothing stays half', async (t) => {
  const { url, form, blobs, incoming } = await start(t);
  t.is((await form(IMPORT, {})).status, 400);
  const head = '--x\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n1,2';
  for (const [type, body] of [
    ['multipart/form-data; boundary=x', head],
    ['multipart/form-data; boundary=x', '--y--'],
    ['multipart/form-data', head],
    ['multipart/form-data; boundary=x', ''],
    ['text/csv', '1,2'],
  ] as const) {
    const headers = { 'content-type': type };
    const response = await fetch(`${url}${IMPORT}`, { method: 'POST', body, headers });
    const text = await response.text();
    t.true(response.status >= 400 && response.status < 500, `${type} ${body}: ${text}`);
    t.is(typeof (JSON.parse(text) as { error: unknown }).error, 'string');
  }
  t.is(await incoming(), 0);
  t.deepEqual(await blobs.list('', 10), []);
  const two = { a: new File(['1'], 'a.csv'), b: new File(['2'], 'b.csv') };
  t.is((await form(IMPORT, two)).status, 413);
});

test('the cluster is told', async (t) => {
  const { client } = await start(t);
  const status = ClusterStatus.fromJSON(await client.call('GET', '/api/v1/cluster'));
  t.deepEqual(status.nodes, []);
});
