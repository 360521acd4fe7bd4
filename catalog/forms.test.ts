import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { Catalog } from './catalog.ts';
import { CATALOG_SCHEMA } from './documents.ts';
import { type Body, FORMS, type Forms, newestForm, writtenForm } from './forms.ts';
import { newModel } from './models.ts';

/** A release that calls `note` what was `description`, and one that writes it so. */
const reading: Forms = {
  newest: 5,
  written: 4,
  upgrade: (_, { description, ...rest }) => ({ ...rest, note: description }),
  downgrade: (_, { note, ...rest }) => ({ ...rest, description: note }),
};
const writing: Forms = { ...reading, written: 5 };

test('two neighbouring releases read what the other writes', (t) => {
  const old: Body = { schema: 4, description: 'digits', extra: 1 };
  const worked = newestForm(reading, 'model', 'model', old);
  t.deepEqual(worked, { schema: 5, note: 'digits', extra: 1 });
  t.deepEqual(writtenForm(reading, 'model', worked as Body), old);
  t.deepEqual(newestForm(writing, 'model', 'model', old), worked);
  const written = writtenForm(writing, 'model', worked as Body);
  t.deepEqual(written, worked);
  t.deepEqual(newestForm(reading, 'model', 'model', written), worked);
});

test('what is newer, or two behind, is refused with what to run', (t) => {
  for (const [schema, words] of [
    [6, /model 'm' has schema 6, this program reads up to 5: .* run that one or a newer one/],
    [3, /model 'm' has schema 3, this program reads 4 and 5: run the releases between/],
  ] as const) {
    const error = t.throws(() => newestForm(reading, 'model', "model 'm'", { schema }));
    t.true(error instanceof StatusError && error.code === Code.FAILED_PRECONDITION);
    t.regex(error.message, words);
  }
  t.throws(() => newestForm({ ...reading, newest: 1 }, 'model', 'm', { schema: 0 }));
});

test('the release that brings a form writes the one before through the catalog', async (t) => {
  const store = new MemoryDocuments();
  const before: Forms = {
    ...FORMS,
    written: CATALOG_SCHEMA - 1,
    downgrade: (_, { description, ...rest }) => ({ ...rest, about: description }),
    upgrade: (_, { about, ...rest }) => ({ ...rest, description: about }),
  };
  const catalog = new Catalog(store, before);
  await catalog.create('model', 'm', { ...newModel('m', 0), description: 'digits' });
  const stored = (await store.get('model', 'm'))?.body as Body;
  t.is(stored.schema, CATALOG_SCHEMA - 1);
  t.is(stored.about, 'digits');
});

test('a field that this release does not know outlives its changes', async (t) => {
  const store = new MemoryDocuments();
  const { policy, ...model } = newModel('m', 0);
  await store.put('model', 'm', { ...model, policy: { ...policy, nap: 7 }, color: 'red' }, 0);
  const catalog = new Catalog(store);
  await catalog.update('model', 'm', (doc) => ({
    ...doc,
    description: 'changed',
    policy: { ...doc.policy, maxCopies: 3 },
  }));
  const stored = (await store.get('model', 'm'))?.body;
  t.like(stored, { description: 'changed', color: 'red', policy: { maxCopies: 3, nap: 7 } });
});
