import test from 'ava';
import type { Model } from '../../proto/gen/torus/v1/model.ts';
import { ImportModelVersionRequest } from '../../proto/gen/torus/v1/model_service.ts';
import { adminWorld, outcomeOf } from '../../test/support/admin-world.ts';

const NO_MODEL: Model = {
  name: '',
  description: '',
  policy: undefined,
  servingVersion: 0n,
  createTime: undefined,
  updateTime: undefined,
  etag: '',
};

const worldOf = (t: { teardown(end: () => Promise<void>): void }) =>
  adminWorld((end) => t.teardown(end));

test('a model is created with the default policy, shown, and not created twice', async (t) => {
  const { models } = await worldOf(t);
  const made = await models.createModel({ modelId: 'digits', model: NO_MODEL });
  t.like(made, { name: 'models/digits', servingVersion: 0n, etag: '1' });
  t.deepEqual(made.policy, {
    minCopies: 1,
    maxCopies: 1,
    idempotent: true,
    hedging: false,
    zoneSpread: false,
  });
  t.deepEqual(await models.getModel({ name: 'models/digits' }), made);
  const again = models.createModel({ modelId: 'digits', model: undefined });
  t.regex(await outcomeOf(again), /^ALREADY_EXISTS: model 'digits'/);
});

test('names are checked: wrong on create, not found on use, wrong form told', async (t) => {
  const { models } = await worldOf(t);
  const create = (modelId: string) => outcomeOf(models.createModel({ modelId, model: NO_MODEL }));
  const get = (name: string) => outcomeOf(models.getModel({ name }));
  for (const id of ['', '../etc', 'a/b', '.x', 'x'.repeat(129)]) {
    t.regex(await create(id), /^INVALID_ARGUMENT/);
  }
  t.regex(await get('models/digits'), /^NOT_FOUND: model 'digits' is not found/);
  t.regex(await get('models/..'), /^NOT_FOUND/);
  t.regex(await get('digits'), /^INVALID_ARGUMENT: .* is not of the form models\/MODEL/);
  const version = (name: string) => outcomeOf(models.getModelVersion({ name }));
  t.regex(await version('models/digits/versions/1'), /^NOT_FOUND/);
  t.regex(await version('models/digits/versions/x'), /^INVALID_ARGUMENT/);
  t.regex(await version('models/digits/versions/0'), /^INVALID_ARGUMENT/);
});

test('an update changes what the mask names and nothing else', async (t) => {
  const { models } = await worldOf(t);
  await models.createModel({ modelId: 'm', model: { ...NO_MODEL, description: 'before' } });
  const message = {
    ...NO_MODEL,
    name: 'models/m',
    description: 'after',
    policy: { minCopies: 3, hedging: true },
  };
  const one = await models.updateModel({ model: message, updateMask: ['policy.min_copies'] });
  t.like(one, { description: 'before', policy: { minCopies: 3, maxCopies: 3, hedging: false } });
  const all = await models.updateModel({ model: message, updateMask: ['policy', 'description'] });
  t.like(all, { description: 'after', policy: { minCopies: 3, maxCopies: 3, hedging: true } });
  const cleared = await models.updateModel({
    model: { ...NO_MODEL, name: 'models/m' },
    updateMask: ['description', 'policy.hedging'],
  });
  t.like(cleared, { description: '', policy: { minCopies: 3, hedging: false } });
});

test('an update without a mask changes the fields that are set', async (t) => {
  const { models } = await worldOf(t);
  await models.createModel({ modelId: 'm', model: { ...NO_MODEL, description: 'kept' } });
  const model = { ...NO_MODEL, name: 'models/m', policy: { zoneSpread: true } };
  const changed = await models.updateModel({ model, updateMask: undefined });
  t.like(changed, { description: 'kept', policy: { zoneSpread: true, minCopies: 1 } });
});

test('an update that makes no sense is refused', async (t) => {
  const { models } = await worldOf(t);
  await models.createModel({ modelId: 'm', model: NO_MODEL });
  const update = (given: Partial<Model>, updateMask: string[]) =>
    outcomeOf(
      models.updateModel({ model: { ...NO_MODEL, name: 'models/m', ...given }, updateMask }),
    );
  t.regex(await update({}, ['name']), /^INVALID_ARGUMENT: update_mask "name"/);
  t.regex(await update({}, ['policy.min_copies.x']), /^INVALID_ARGUMENT/);
  t.regex(await update({ policy: { minCopies: -1 } }, []), /^INVALID_ARGUMENT/);
  t.regex(await update({ policy: { minCopies: 2, maxCopies: 1 } }, []), /^INVALID_ARGUMENT/);
  const hedging = { policy: { hedging: true, idempotent: false } };
  t.regex(await update(hedging, []), /^INVALID_ARGUMENT: .*idempotent/);
  t.regex(await update({}, ['serving_version']), /^INVALID_ARGUMENT: serving_version 0/);
  t.regex(await update({ servingVersion: 1n }, []), /^NOT_FOUND/);
  t.regex(await update({ etag: '7', description: 'x' }, []), /^ABORTED/);
  t.regex(await update({ etag: 'W/x', description: 'x' }, []), /^ABORTED/);
  t.regex(await outcomeOf(models.updateModel({ model: undefined, updateMask: [] })), /^INVALID/);
});

test('setting serving_version promotes; a version that is not READY is refused', async (t) => {
  const { models, publish } = await worldOf(t);
  await publish('m', true);
  await publish('m', false);
  await publish('m', false, { state: 'QUARANTINED', reason: 'took its node down' });
  const serve = (servingVersion: bigint) =>
    models.updateModel({
      model: { ...NO_MODEL, name: 'models/m', servingVersion },
      updateMask: [],
    });
  t.is((await serve(2n)).servingVersion, 2n);
  t.regex(await outcomeOf(serve(3n)), /^FAILED_PRECONDITION: .*took its node down/);
});

test('versions are shown newest first, page by page', async (t) => {
  const { models, publish } = await worldOf(t);
  for (let at = 0; at < 5; at += 1) await publish('m', false, { source: '20260101t0-ab' });
  const numbers: bigint[] = [];
  let pageToken = '';
  do {
    const page = await models.listModelVersions({ parent: 'models/m', pageSize: 2, pageToken });
    numbers.push(...page.modelVersions.map(({ version }) => version));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  t.deepEqual(numbers, [5n, 4n, 3n, 2n, 1n]);
  const version = await models.getModelVersion({ name: 'models/m/versions/5' });
  t.like(version, { name: 'models/m/versions/5', source: 'jobs/20260101t0-ab', sizeBytes: 10n });
  t.deepEqual(version.inputs, [{ name: 'x', datatype: 'FP32', shape: [-1n, 4n] }]);
  t.deepEqual(version.metrics, { accuracy: 0.9 });
  const absent = models.listModelVersions({ parent: 'models/x', pageSize: 0, pageToken: '' });
  t.regex(await outcomeOf(absent), /^NOT_FOUND/);
});

test('models are listed by name, page by page, whatever is made meanwhile', async (t) => {
  const { models } = await worldOf(t);
  const add = (modelId: string) => models.createModel({ modelId, model: NO_MODEL });
  for (const id of ['b', 'd', 'f']) await add(id);
  const first = await models.listModels({ pageSize: 2, pageToken: '' });
  t.deepEqual(
    first.models.map(({ name }) => name),
    ['models/b', 'models/d'],
  );
  for (const id of ['a', 'e']) await add(id);
  const second = await models.listModels({ pageSize: 2, pageToken: first.nextPageToken });
  t.deepEqual(
    second.models.map(({ name }) => name),
    ['models/e', 'models/f'],
  );
  t.is(second.nextPageToken, '');
  const wrong = [
    { pageSize: -1, pageToken: '' },
    { pageSize: 1, pageToken: '!' },
  ];
  for (const page of wrong) t.regex(await outcomeOf(models.listModels(page)), /^INVALID_ARGUMENT/);
});

test('deleting: a serving version stays, a model with versions needs force', async (t) => {
  const { models, publish } = await worldOf(t);
  await publish('m', true);
  await publish('m', false);
  const drop = (version: number, etag = '') =>
    outcomeOf(models.deleteModelVersion({ name: `models/m/versions/${version}`, etag }));
  t.regex(await drop(1), /^FAILED_PRECONDITION: .*serving version/);
  t.regex(await drop(2, '9'), /^ABORTED/);
  t.is(await drop(2), 'OK');
  t.regex(await drop(2), /^NOT_FOUND/);
  const remove = (force: boolean) =>
    outcomeOf(models.deleteModel({ name: 'models/m', etag: '', force }));
  t.regex(await remove(false), /^FAILED_PRECONDITION/);
  t.is(await remove(true), 'OK');
  t.regex(await remove(true), /^NOT_FOUND/);
});

test('an import names uploaded blobs and becomes a job, the same when asked again', async (t) => {
  const { models, upload, catalog, publish } = await worldOf(t);
  const sha256 = await upload('onnx');
  const request = {
    ...ImportModelVersionRequest.create(),
    parent: 'models/m',
    files: [{ path: 'model.onnx', sha256, sizeBytes: 0n }],
    labels: { team: 'a' } as Record<string, string>,
    promote: true,
    jobId: 'import-1',
  };
  const job = await models.importModelVersion(request);
  t.like(job, { name: 'jobs/import-1', kind: 'JOB_KIND_IMPORT_MODEL', state: 'JOB_STATE_QUEUED' });
  t.deepEqual(await models.importModelVersion(request), job);
  const { doc } = await catalog.require('job', 'import-1');
  t.like(doc.spec, { model: 'm', files: [{ path: 'model.onnx', sha256, sizeBytes: 4 }] });
  const refused = async (given: Partial<typeof request>) =>
    await outcomeOf(models.importModelVersion({ ...request, jobId: '', ...given }));
  const file = { path: 'model.onnx', sha256, sizeBytes: 0n };
  t.regex(await refused({ files: [] }), /^INVALID_ARGUMENT: files/);
  t.regex(await refused({ files: [file, file] }), /^INVALID_ARGUMENT: .*twice/);
  t.regex(await refused({ files: [{ ...file, path: '../x' }] }), /^INVALID_ARGUMENT: path/);
  t.regex(await refused({ files: [{ ...file, sha256: 'x' }] }), /^INVALID_ARGUMENT: sha256/);
  t.regex(await refused({ files: [{ ...file, sizeBytes: 9n }] }), /^INVALID_ARGUMENT: blob/);
  t.regex(await refused({ files: [{ ...file, sha256: '0'.repeat(64) }] }), /^NOT_FOUND: blob/);
  t.regex(await refused({ parent: 'models/a b' }), /^INVALID_ARGUMENT/);
  t.regex(await refused({ parent: 'digits' }), /^INVALID_ARGUMENT/);
  t.regex(await refused({ jobId: 'a/b' }), /^INVALID_ARGUMENT/);
  t.regex(await refused({ labels: { x: 'y'.repeat(300) } }), /^INVALID_ARGUMENT/);
  await publish('m', false);
  t.regex(await refused({ version: 1n }), /^ALREADY_EXISTS/);
  t.is(await refused({ version: 2n }), 'OK');
});
