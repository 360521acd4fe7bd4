import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { Catalog, versionKey } from './catalog.ts';
import { newDataset } from './datasets.ts';
import { newModel } from './models.ts';

const codeOf = (error: unknown): number | undefined =>
  error instanceof StatusError ? error.code : undefined;

test('what is created comes back, once', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  const model = newModel('digits', 5);
  await catalog.create('model', 'digits', model);
  t.deepEqual((await catalog.require('model', 'digits')).doc, model);
  const again = await t.throwsAsync(catalog.create('model', 'digits', model));
  t.is(codeOf(again), Code.ALREADY_EXISTS);
  const absent = await t.throwsAsync(catalog.require('model', 'iris'));
  t.is(codeOf(absent), Code.NOT_FOUND);
  t.is(absent?.message, "model 'iris' is not found");
  await t.throwsAsync(catalog.require('version', versionKey('iris', 3)), {
    message: "model version 'iris/3' is not found",
  });
});

test('updates of many writers are all applied', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  await catalog.create('model', 'm', newModel('m', 0));
  const raise = () =>
    catalog.update('model', 'm', (doc) => ({ ...doc, nextVersion: doc.nextVersion + 1 }));
  await Promise.all(Array.from({ length: 20 }, raise));
  t.is((await catalog.require('model', 'm')).doc.nextVersion, 21);
});

test('an update that changes nothing writes nothing; one that throws refuses', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  const made = await catalog.create('model', 'm', newModel('m', 0));
  const changes: string[] = [];
  catalog.onChange((kind, key) => changes.push(`${kind} ${key}`));
  const same = await catalog.update('model', 'm', (doc) => doc);
  t.is(same.revision, made.revision);
  await t.throwsAsync(
    catalog.update('model', 'm', () => {
      throw new StatusError(Code.FAILED_PRECONDITION, 'no');
    }),
    { message: 'no' },
  );
  t.deepEqual(changes, []);
});

test('watchers hear of each change until they end', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  const changes: string[] = [];
  const end = catalog.onChange((kind, key) => changes.push(`${kind} ${key}`));
  const { revision } = await catalog.create('dataset', 'd', newDataset('d', 0));
  await catalog.remove('dataset', 'd', revision);
  end();
  await catalog.create('dataset', 'd', newDataset('d', 0));
  t.deepEqual(changes, ['dataset d', 'dataset d']);
});

test('a document of a newer schema is refused with what to do', async (t) => {
  const store = new MemoryDocuments();
  await store.put('model', 'm', { ...newModel('m', 0), schema: 2, novelty: true }, 0);
  const error = await t.throwsAsync(new Catalog(store).get('model', 'm'));
  t.is(codeOf(error), Code.FAILED_PRECONDITION);
  t.regex(error?.message ?? '', /model 'm' has schema 2, this program reads up to 1/);
});

test('a broken document is told by name and can be stepped over', async (t) => {
  const store = new MemoryDocuments();
  const catalog = new Catalog(store);
  for (const name of ['a', 'c']) await catalog.create('model', name, newModel(name, 0));
  await store.put('model', 'b', { schema: 1, name: 'b' }, 0);
  const error = await t.throwsAsync(catalog.all('model'));
  t.is(codeOf(error), Code.DATA_LOSS);
  t.regex(error?.message ?? '', /model 'b' in the catalog is not valid/);
  const found: string[] = [];
  const broken: string[] = [];
  const onInvalid = (key: string) => broken.push(key);
  for await (const { key } of catalog.scan('model', { onInvalid })) found.push(key);
  t.deepEqual([found, broken], [['a', 'c'], ['b']]);
});

test('a document that does not fit its kind is not written', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  const wrong = { ...newModel('m', 0), servingVersion: -1 };
  t.is(codeOf(await t.throwsAsync(catalog.create('model', 'm', wrong))), Code.DATA_LOSS);
  t.is(await catalog.get('model', 'm'), undefined);
});

test('a scan reads every page, and only what has the prefix', async (t) => {
  const catalog = new Catalog(new MemoryDocuments());
  for (let at = 0; at < 1_205; at += 1) {
    await catalog.create('dataset', `x${at}`, newDataset(`x${at}`, 0));
  }
  await catalog.create('dataset', 'y', newDataset('y', 0));
  t.is((await catalog.all('dataset', 'x')).length, 1_205);
});

test('keys of versions sort as their numbers', (t) => {
  t.true(versionKey('m', 9) < versionKey('m', 10));
  t.true(versionKey('m', Number.MAX_SAFE_INTEGER) > versionKey('m', 10 ** 15));
});
