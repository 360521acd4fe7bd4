import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { Catalog, versionKey } from '../../catalog/catalog.ts';
import type { ImportModelSpec } from '../../catalog/documents.ts';
import { newJob } from '../../catalog/jobs.ts';
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import { decodeManifest } from '../../model/manifest.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import { externalDataModel } from '../../test/support/foreign-onnx.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import { inspectModel } from './inspect.ts';
import { importModel, type ModelImportOptions, modelImporter } from './publish.ts';

interface Place {
  readonly dir: string;
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  readonly options: ModelImportOptions;
}

const test = anyTest as TestFn<Place>;

test.beforeEach(async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'torus-publish-'));
  const tempDir = join(dir, 'temp');
  await mkdir(tempDir);
  const catalog = new Catalog(new MemoryDocuments());
  const blobs = await openDirectoryBlobs(join(dir, 'blobs'));
  const log = createLog({ role: 'test', level: 'silent' });
  const dateMs = () => 1_000;
  // Without a child of its own for each: verify.test.ts has those.
  const options = { catalog, blobs, tempDir, dateMs, log, verify: inspectModel };
  t.context = { dir, catalog, blobs, options };
});
test.afterEach.always(async ({ context }) => {
  await context.blobs.close();
  await rm(context.dir, { recursive: true, force: true });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function upload(
  { blobs }: Place,
  files: Record<string, Uint8Array | string>,
  more: Partial<ImportModelSpec> = {},
): Promise<ImportModelSpec> {
  const stored: ImportModelSpec['files'] = [];
  for (const [path, content] of Object.entries(files)) {
    const info = await blobs.write(once(Buffer.from(content)), { maxBytes: 2 ** 20 });
    stored.push({ path, ...info });
  }
  return {
    kind: 'import_model',
    model: 'm',
    files: stored,
    version: 0,
    labels: { team: 'a' },
    source: 'upload',
    promotes: true,
    ...more,
  };
}

function run() {
  const steps: string[] = [];
  const { signal } = new AbortController();
  return { steps, signal, progress: (_: number, step: string) => steps.push(step) };
}

test('uploaded files become a version with a manifest, which serves', async (t) => {
  const { catalog, blobs } = t.context;
  const { verify: _, ...options } = t.context.options;
  const weights = new Uint8Array(8);
  const spec = await upload(t.context, {
    'config.pbtxt':
      'max_batch_size: 4 parameters { key: "torus_min_copies" value { string_value: "2" } }',
    '1/net.onnx': externalDataModel('w.bin'),
    '1/w.bin': weights,
    'labels.txt': 'a\nb\n',
  });
  const running = run();
  const doc = await importModel(options, spec, running);
  t.like(doc, {
    model: 'm',
    version: 1,
    state: 'READY',
    platform: 'onnxruntime_onnx',
    source: 'upload',
    labels: { team: 'a' },
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
  });
  t.deepEqual(running.steps, ['recognising', 'fetching', 'verifying', 'publishing']);
  const { doc: model } = await catalog.require('model', 'm');
  t.like(model, { servingVersion: 1, loadedVersions: [1] });
  t.like(model.policy, { minCopies: 2, maxCopies: 2, isIdempotent: true });
  const parts: Uint8Array[] = [];
  for await (const part of blobs.read(doc.manifestSha256)) parts.push(part);
  const manifest = decodeManifest(Buffer.concat(parts));
  t.deepEqual(
    manifest.files.map(({ path }) => path),
    ['labels.txt', 'model.onnx', 'w.bin'],
  );
  t.like(manifest, { model: 'm', version: 1, inputs: doc.inputs, outputs: doc.outputs });
  t.regex(manifest.configPbtxt, /max_batch_size: 4/);
  t.is(
    doc.sizeBytes,
    manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0),
  );
  t.deepEqual(await readdir(options.tempDir), []);
});

test('a model that fails leaves nothing, and what serves goes on serving', async (t) => {
  const { options, catalog } = t.context;
  await importModel(options, await upload(t.context, { 'model.onnx': addModel(2) }), run());
  const bad: [Record<string, Uint8Array | string>, Code, RegExp][] = [
    [{ 'model.onnx': addModel(2).subarray(0, 60) }, Code.INVALID_ARGUMENT, /not a valid ONNX file/],
    [{ 'saved_model.pb': 'x' }, Code.UNIMPLEMENTED, /SavedModel/],
    [{ '../model.onnx': addModel(2) }, Code.INVALID_ARGUMENT, /plain path/],
    [
      { 'model.onnx': addModel(2), 'config.pbtxt': 'name: "other"' },
      Code.INVALID_ARGUMENT,
      /other/,
    ],
    [{ 'model.onnx': addModel(2), 'config.pbtxt': '\xff: {' }, Code.INVALID_ARGUMENT, /line 1/],
    [
      { 'model.onnx': externalDataModel('../w') },
      Code.INVALID_ARGUMENT,
      /inside the model's folder/,
    ],
  ];
  for (const [files, code, message] of bad) {
    const imported = importModel(options, await upload(t.context, files), run());
    const error = await t.throwsAsync(imported, { instanceOf: StatusError, message });
    t.is(error?.code, code);
  }
  t.like((await catalog.require('model', 'm')).doc, { servingVersion: 1, loadedVersions: [1] });
  t.is((await catalog.all('version')).length, 1);
  t.deepEqual(await readdir(options.tempDir), []);
});

test('files that are gone or told wrong are refused before anything is read', async (t) => {
  const { options, blobs } = t.context;
  const spec = await upload(t.context, { 'model.onnx': addModel(2) });
  const [file] = spec.files;
  if (file === undefined) return t.fail();
  const wrong = { ...spec, files: [{ ...file, sizeBytes: 1 }] };
  await t.throwsAsync(importModel(options, wrong, run()), { message: /told to have 1 bytes/ });
  await blobs.remove(file.sha256);
  const error = await t.throwsAsync(importModel(options, spec, run()), {
    message: /upload it again/,
  });
  t.is((error as StatusError).code, Code.FAILED_PRECONDITION);
});

test('a job publishes one version, however often it is tried', async (t) => {
  const { options, catalog } = t.context;
  const spec = await upload(t.context, { 'model.onnx': addModel(2) }, { promotes: false });
  const job = newJob('j1', spec, 0);
  const claim = { id: 'j1', owner: 'w', epoch: 1 };
  await catalog.create('job', 'j1', { ...job, state: 'RUNNING', owner: 'w', epoch: 1 });
  const handle = modelImporter(options);
  const context = { ...run(), claim };
  const first = await handle({ ...job, spec }, context);
  t.deepEqual(
    [first, await handle({ ...job, spec }, context)].map(({ name }) => name),
    ['models/m/versions/1', 'models/m/versions/1'],
  );
  t.like((await catalog.require('model', 'm')).doc, { servingVersion: 0, nextVersion: 2 });
  const { doc } = await catalog.require('version', versionKey('m', 1));
  t.is(doc.source, 'j1');
  const lost = { ...context, claim: { ...claim, epoch: 0 } };
  const error = await t.throwsAsync(handle({ ...job, spec }, lost), { instanceOf: StatusError });
  t.is(error?.code, Code.ABORTED);
});

/** A job as the loop hands it to the handler once it was taken. */
async function taken({ catalog }: Place, id: string, spec: ImportModelSpec) {
  const job = { ...newJob(id, spec, 0), state: 'RUNNING' as const, owner: 'w', epoch: 1 };
  await catalog.create('job', id, job);
  return { job: { ...job, spec }, context: { ...run(), claim: { id, owner: 'w', epoch: 1 } } };
}

test('of two jobs that want the same number one gets it, the other is told', async (t) => {
  const { options, catalog } = t.context;
  const handle = modelImporter(options);
  const jobs = await Promise.all(
    [2, 3].map(async (width) => {
      const spec = await upload(t.context, { 'model.onnx': addModel(width) }, { version: 7 });
      return await taken(t.context, `j${width}`, spec);
    }),
  );
  const ended = await Promise.allSettled(jobs.map(({ job, context }) => handle(job, context)));
  const refused = ended.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  t.is(refused.length, 1);
  t.like(refused[0], { code: Code.ALREADY_EXISTS });
  t.regex(refused[0].message, /'m\/7' is there already|version 7 of model 'm' is there already/);
  t.is((await catalog.all('version')).length, 1);
});

test('a repeated job neither imports again nor displaces what was promoted since', async (t) => {
  const { options, catalog, blobs } = t.context;
  const { job, context } = await taken(
    t.context,
    'j1',
    await upload(t.context, { 'model.onnx': addModel(2) }),
  );
  await modelImporter(options)(job, context);
  const next = await taken(t.context, 'j2', await upload(t.context, { 'model.onnx': addModel(3) }));
  await modelImporter(options)(next.job, next.context);
  const { doc } = await catalog.require('job', 'j1');
  for (const { sha256 } of job.spec.files) await blobs.remove(sha256);
  const again = await modelImporter(options)({ ...doc, spec: job.spec }, context);
  t.is(again.name, 'models/m/versions/1');
  t.is((await catalog.require('model', 'm')).doc.servingVersion, 2);
});

test('a job cancelled at any step before its number is reserved leaves nothing', async (t) => {
  const { options, catalog } = t.context;
  const spec = await upload(t.context, { 'model.onnx': addModel(2) });
  for (const step of ['recognising', 'fetching', 'verifying', 'publishing']) {
    const { job, context } = await taken(t.context, step, spec);
    const cancel = new AbortController();
    const reason = new StatusError(Code.CANCELLED, `at ${step}`);
    const progress = (_: number, now: string) => {
      if (now === step) cancel.abort(reason);
    };
    const running = { ...context, progress, signal: cancel.signal };
    await t.throwsAsync(modelImporter(options)(job, running), { message: `at ${step}` });
    t.deepEqual(await readdir(options.tempDir), []);
    t.is(await catalog.get('model', 'm'), undefined);
  }
});
