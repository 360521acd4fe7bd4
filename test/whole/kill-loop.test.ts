// A process that is killed again and again, at any moment of uploads, imports, training and
// publishing: each start finds stores that agree with each other, finishes what was begun, and what
// was published answers as before. TORUS_KILL_ROUNDS=20 kills as often, TORUS_KILL_SEED moves the
// moments.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { openStores } from '../../cli/up/stores.ts';
import { TINY_MLP, tinyMlpOnnx } from '../../loadtest/tiny-mlp.ts';
import { readManifest } from '../../model/manifest.ts';
import { dataFolder, startTorus, type TorusProcess } from '../support/torus-process.ts';

const ROUNDS = Number(process.env.TORUS_KILL_ROUNDS ?? 2);
const SEED = Number(process.env.TORUS_KILL_SEED ?? 1);
/** The longest that a process works before it is killed. */
const MAX_LIFE_MS = 1_500;
const ROWS = 10_000;
const CSV = `a,b,label\n${Array.from({ length: ROWS }, (_, at) =>
  at % 500 === 7 ? 'bad\n' : `${at},${(at * 7) % 11},${at % 2 === 0 ? 'even' : 'odd'}\n`,
).join('')}`;

/** Numbers from 0 to 1 that depend on the seed alone. */
function seeded(seed: number): () => number {
  let count = 0;
  return () => {
    count += 1;
    const hash = createHash('sha256').update(`${seed}/${count}`).digest();
    return hash.readUInt32BE(0) / 2 ** 32;
  };
}

type Json = Record<string, unknown>;

async function call(server: TorusProcess, path: string, body?: string | Uint8Array | Json) {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const headers = { 'content-type': isRaw ? 'application/octet-stream' : 'application/json' };
  const content = isRaw ? body : JSON.stringify(body);
  const init = body === undefined ? {} : { method: 'POST', body: content as string, headers };
  const response = await fetch(`http://${server.http}${path}`, init);
  const json = (await response.json()) as Json;
  if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(json)}`);
  return json;
}

async function importRows(server: TorusProcess, dataset: string): Promise<void> {
  const { sha256 } = await call(server, '/api/v1/blobs', CSV);
  const spec = { blobSha256: sha256, fileName: 'rows.csv', seal: true };
  await call(server, `/api/v1/datasets/${dataset}/import`, spec);
}

async function publish(server: TorusProcess): Promise<void> {
  const { sha256, sizeBytes } = await call(server, '/api/v1/blobs', tinyMlpOnnx());
  const files = [{ path: 'model.onnx', sha256, sizeBytes: String(sizeBytes) }];
  await call(server, `/api/v1/models/${TINY_MLP}/versions`, { files, promote: true });
}

async function train(server: TorusProcess): Promise<void> {
  const hyperparameters = { epochs: 4 };
  const spec = { dataSet: 'datasets/first', targetColumn: 'label', modelId: 'trained', seed: '1' };
  await call(server, '/api/v1/jobs', { ...spec, hyperparameters, promote: true });
}

/** An upload that never comes to its end by itself. */
function dripping(server: TorusProcess): void {
  const [host = '', port = ''] = server.http.split(':');
  const path = '/api/v1/blobs';
  const upload = request({ host, port: Number(port), path, method: 'POST' });
  upload.on('error', () => clearInterval(timer));
  const timer = setInterval(() => upload.write(Buffer.alloc(50_000)), 20);
  upload.on('close', () => clearInterval(timer));
}

/** Begins one of everything; what the kill cuts off is none of its business. */
function begin(server: TorusProcess, dataset: string): void {
  dripping(server);
  for (const work of [importRows(server, dataset), train(server), publish(server)]) {
    work.catch(() => undefined);
  }
}

interface JobSeen extends Json {
  readonly name: string;
  readonly state: string;
}

const isOpen = ({ state }: JobSeen): boolean => /QUEUED|RUNNING/.test(state);

async function jobs(server: TorusProcess): Promise<readonly JobSeen[]> {
  const { jobs: all = [] } = await call(server, '/api/v1/jobs?page_size=1000');
  return all as JobSeen[];
}

/** All jobs, once none of them is open. */
async function settled(server: TorusProcess): Promise<readonly JobSeen[]> {
  for (;;) {
    const all = await jobs(server);
    if (!all.some(isOpen)) return all;
    await sleep(50);
  }
}

const INPUT = { name: 'x', datatype: 'FP32', shape: [1, 16], data: Array(16).fill(0.5) };
const ROW = [
  { name: 'a', datatype: 'INT64', shape: [1, 1], data: [3] },
  { name: 'b', datatype: 'INT64', shape: [1, 1], data: [5] },
];

/** What a model answers; '' where there is none. */
async function prediction(server: TorusProcess, model: string): Promise<string> {
  const inputs = model === TINY_MLP ? [INPUT] : ROW;
  const path = `/v2/models/${model}/infer`;
  const url = `http://${server.http}${path}`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify({ inputs }) });
  const { outputs } = (await response.json()) as Json;
  return response.status === 404 ? '' : JSON.stringify(outputs);
}

async function checkRows(t: ExecutionContext, server: TorusProcess, isSettled: boolean) {
  const { dataSets = [] } = await call(server, '/api/v1/datasets?page_size=1000');
  for (const { name } of dataSets as { name: string }[]) {
    const { dataSetVersions: versions = [] } = await call(server, `/api/v1/${name}/versions`);
    for (const version of versions as Json[]) {
      const [read, accepted, rejected] = ['readRows', 'acceptedRows', 'rejectedRows'].map((key) =>
        Number(version[key] ?? 0),
      );
      t.is(read, Number(accepted) + Number(rejected), name);
      if (!isSettled) continue;
      t.is(version.state, 'DATA_SET_VERSION_STATE_SEALED', name);
      t.deepEqual([read, rejected], [ROWS, ROWS / 500], name);
    }
  }
}

const HALF_MADE = /\.new$|\.tmp|incoming\/.|imports\/.|trainer\/jobs\/.|\.wal$/;

/** Of a folder that no process has open: nothing half-made, nothing that is named is missing. */
async function checkStores(t: ExecutionContext, data: string): Promise<void> {
  const stores = await openStores(data);
  try {
    for (const { key, doc } of await stores.catalog.all('version')) {
      const { files } = await readManifest(stores.blobs, doc.manifestSha256);
      for (const { path, sha256 } of files) {
        t.truthy(await stores.blobs.stat(sha256), `${key}: the blob of ${path} is not there`);
      }
    }
    for (const { key, doc } of await stores.catalog.all('dataset_version')) {
      const counts = await stores.datasets.counts(doc.dataset, doc.version);
      t.deepEqual([doc.accepted, doc.rejected], [counts.accepted, counts.rejected], key);
      let scanned = 0;
      for await (const batch of stores.datasets.scan(doc.dataset, doc.version)) {
        scanned += batch.rowCount;
      }
      t.is(scanned, counts.accepted, key);
    }
    for (const { doc } of await stores.catalog.all('job')) t.is(doc.state, 'SUCCEEDED', doc.id);
  } finally {
    await stores.close();
  }
  const files = await readdir(data, { recursive: true });
  const halfMade = files.filter((file) => HALF_MADE.test(file));
  t.deepEqual(halfMade, []);
}

test('killed at any moment, again and again: the stores agree, and all is finished', async (t) => {
  const data = await dataFolder(t);
  const random = seeded(SEED);
  const answers: Record<string, string> = {};
  let isSettled = true;
  let server = await startTorus({ data });
  t.teardown(async () => void (await server.end('SIGKILL')));
  await importRows(server, 'first');
  await settled(server);
  for (let round = 0; round <= ROUNDS; round += 1) {
    if (round > 0) server = await startTorus({ data });
    // Some lives are too short to finish what earlier ones began, but never two in a row: a job
    // whose process has died three times is given up.
    isSettled = !isSettled || round === ROUNDS || random() < 0.7;
    if (isSettled) {
      for (const { name, state, error } of await settled(server)) {
        t.is(state, 'JOB_STATE_SUCCEEDED', `${name}: ${JSON.stringify(error)}`);
      }
    }
    await checkRows(t, server, isSettled);
    for (const model of [TINY_MLP, 'trained']) {
      const answer = await prediction(server, model);
      answers[model] ||= answer;
      t.is(answer, answers[model], model);
    }
    if (round === ROUNDS) break;
    begin(server, `round-${round}`);
    await sleep(random() * MAX_LIFE_MS);
    await server.end('SIGKILL');
  }
  t.is(await server.end('SIGTERM'), 0);
  await checkStores(t, data);
});
