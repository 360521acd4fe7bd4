// What every document store promises, run over each implementation by its own test file.
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { type DocumentStore, MAX_DOCUMENT_BYTES, MAX_LIST_DOCUMENTS } from './documents.ts';
import { MAX_KEY_BYTES } from './limits.ts';

type Body = (t: ExecutionContext, store: DocumentStore) => Promise<void>;

const aborted = { instanceOf: StatusError, code: Code.ABORTED };
const invalid = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };

async function keysOf(store: DocumentStore, kind: string, options = {}): Promise<string[]> {
  return (await store.list(kind, options)).map((document) => document.key);
}

const writing: Record<string, Body> = {
  'what was put comes back, with revisions that grow': async (t, store) => {
    t.is(await store.get('model', 'digits'), undefined);
    t.is(await store.put('model', 'digits', { a: 1 }, 0), 1);
    t.deepEqual(await store.get('model', 'digits'), {
      kind: 'model',
      key: 'digits',
      revision: 1,
      body: { a: 1 },
    });
    const revision = await store.put('model', 'digits', { a: 2 }, 1);
    t.true(revision > 1);
    t.like(await store.get('model', 'digits'), { revision, body: { a: 2 } });
    t.is(await store.get('job', 'digits'), undefined);
  },
  'a put that expects another revision changes nothing': async (t, store) => {
    await t.throwsAsync(store.put('model', 'm', {}, 1), aborted);
    t.is(await store.get('model', 'm'), undefined);
    const revision = await store.put('model', 'm', { a: 1 }, 0);
    const error = await t.throwsAsync(store.put('model', 'm', { a: 2 }, 0), aborted);
    t.regex(error?.message ?? '', /model\/m.*read it again/);
    await t.throwsAsync(store.put('model', 'm', { a: 2 }, revision + 1), aborted);
    t.like(await store.get('model', 'm'), { revision, body: { a: 1 } });
  },
  'of many puts at once one wins': async (t, store) => {
    for (const expected of [0, 1]) {
      const puts = Array.from({ length: 20 }, (_, index) =>
        store.put('job', 'j', { index }, expected).then(
          () => index,
          (thrown) => {
            t.is(thrown.code, Code.ABORTED);
            return undefined;
          },
        ),
      );
      const winners = (await Promise.all(puts)).filter((index) => index !== undefined);
      t.is(winners.length, 1);
      t.like(await store.get('job', 'j'), { body: { index: winners[0] } });
    }
  },
  'a document is removed only at the revision expected': async (t, store) => {
    await t.throwsAsync(store.remove('model', 'm', 1), aborted);
    const revision = await store.put('model', 'm', {}, 0);
    await t.throwsAsync(store.remove('model', 'm', revision + 1), aborted);
    t.not(await store.get('model', 'm'), undefined);
    await store.remove('model', 'm', revision);
    t.is(await store.get('model', 'm'), undefined);
    await t.throwsAsync(store.put('model', 'm', {}, revision), aborted);
    t.is(await store.put('model', 'm', { again: true }, 0), 1);
  },
  'neither writer nor reader changes what is kept': async (t, store) => {
    const body = { list: [1] };
    await store.put('model', 'm', body, 0);
    body.list.push(2);
    const read = await store.get('model', 'm');
    t.deepEqual(read?.body, { list: [1] });
    (read as { body: { list: number[] } }).body.list.push(3);
    t.deepEqual((await store.get('model', 'm'))?.body, { list: [1] });
  },
  'any JSON comes back deeply equal': async (t, store) => {
    let revision = 0;
    const property = fc.asyncProperty(fc.jsonValue(), async (value) => {
      // -0 is the one number that JSON text does not keep.
      const body: unknown = JSON.parse(JSON.stringify(value));
      revision = await store.put('any', 'json', body, revision);
      t.deepEqual((await store.get('any', 'json'))?.body, body);
    });
    await fc.assert(property, { numRuns: 50 });
  },
};

const refusing: Record<string, Body> = {
  'a document above the limit is refused, one at it is kept': async (t, store) => {
    const atLimit = 'x'.repeat(MAX_DOCUMENT_BYTES - 2);
    await store.put('model', 'at', atLimit, 0);
    t.is((await store.get('model', 'at'))?.body, atLimit);
    const error = await t.throwsAsync(store.put('model', 'above', `${atLimit}x`, 0), {
      instanceOf: StatusError,
      code: Code.RESOURCE_EXHAUSTED,
    });
    t.regex(error?.message ?? '', new RegExp(String(MAX_DOCUMENT_BYTES)));
    // The limit counts bytes of UTF-8, not characters.
    const wide = 'é'.repeat(MAX_DOCUMENT_BYTES / 2);
    await t.throwsAsync(store.put('model', 'above', wide, 0), { code: Code.RESOURCE_EXHAUSTED });
    t.is(await store.get('model', 'above'), undefined);
  },
  'what is no JSON is refused': async (t, store) => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const body of [undefined, () => {}, 1n, cycle, { loss: Number.NaN }]) {
      await t.throwsAsync(store.put('model', 'm', body, 0), invalid);
    }
    t.is(await store.get('model', 'm'), undefined);
  },
  'keys that not every database can hold are refused': async (t, store) => {
    const longest = 'k'.repeat(MAX_KEY_BYTES);
    t.is(await store.put('model', longest, {}, 0), 1);
    for (const key of ['', 'a\0b', '\ud800', `${longest}k`, 'é'.repeat(MAX_KEY_BYTES)]) {
      await t.throwsAsync(store.put('model', key, {}, 0), invalid);
      await t.throwsAsync(store.put(key, 'm', {}, 0), invalid);
    }
    for (const revision of [-1, 0.5, Number.NaN]) {
      await t.throwsAsync(store.put('model', 'm', {}, revision), invalid);
    }
    t.deepEqual(await keysOf(store, 'model'), [longest]);
  },
  'a list limit outside its bounds is refused': async (t, store) => {
    for (const limit of [0, -1, 1.5, MAX_LIST_DOCUMENTS + 1]) {
      await t.throwsAsync(store.list('model', { limit }), invalid);
    }
  },
  'a closed store answers UNAVAILABLE': async (t, store) => {
    await store.close();
    await store.close();
    const expectation = { instanceOf: StatusError, code: Code.UNAVAILABLE };
    await t.throwsAsync(store.get('model', 'm'), expectation);
    await t.throwsAsync(store.put('model', 'm', {}, 0), expectation);
    await t.throwsAsync(store.list('model'), expectation);
  },
};

/** In the order of code points; the last two compare the other way round in UTF-16. */
const ODD_KEYS = [' ', '%', "';--", 'A', '_', 'a', 'a/', 'a/1', 'aa', 'b', 'é', '～', '\u{1f600}'];

const listing: Record<string, Body> = {
  'keys come in the order of code points, of one kind': async (t, store) => {
    for (const key of ODD_KEYS.toReversed()) await store.put('odd', key, { key }, 0);
    await store.put('other', 'a', {}, 0);
    const documents = await store.list('odd');
    t.deepEqual(
      documents.map((document) => document.key),
      ODD_KEYS,
    );
    t.deepEqual(documents[3], { kind: 'odd', key: 'A', revision: 1, body: { key: 'A' } });
    t.deepEqual(await store.list('none'), []);
  },
  'a prefix takes exactly the keys that start with it': async (t, store) => {
    const keys = [...ODD_KEYS, 'a0', '\u{10ffff}', '\u{10ffff}a', '\ud7ff', '\ud7ffx', '\ue000'];
    for (const key of keys) await store.put('odd', key, {}, 0);
    for (const prefix of [...keys, 'zz', '']) {
      const wanted = keys.filter((key) => key.startsWith(prefix)).toSorted();
      t.deepEqual((await keysOf(store, 'odd', { prefix })).toSorted(), wanted, prefix);
    }
  },
  'pages follow each other without gap or repetition': async (t, store) => {
    const keys = Array.from({ length: 23 }, (_, index) => `v/${String(index).padStart(4, '0')}`);
    for (const key of [...keys, 'u/x', 'w']) await store.put('version', key, {}, 0);
    const found: string[] = [];
    for (;;) {
      const after = found.at(-1);
      const options = { prefix: 'v/', limit: 5, ...(after === undefined ? {} : { after }) };
      const page = await keysOf(store, 'version', options);
      t.true(page.length <= 5);
      if (page.length === 0) break;
      found.push(...page);
    }
    t.deepEqual(found, keys);
    // A page may start after a key that is no more, or never was.
    t.deepEqual(await keysOf(store, 'version', { after: 'v/0021x' }), ['v/0022', 'w']);
  },
  'one list call returns the limit at most': async (t, store) => {
    for (let index = 0; index <= MAX_LIST_DOCUMENTS; index += 1) {
      await store.put('many', String(index).padStart(6, '0'), {}, 0);
    }
    t.is((await store.list('many')).length, MAX_LIST_DOCUMENTS);
  },
};

export interface DocumentsUnderTest {
  readonly store: DocumentStore;
  end(): Promise<void>;
}

/** @param open makes a new, empty store. */
export function documentsContract(name: string, open: () => Promise<DocumentsUnderTest>): void {
  for (const [title, body] of Object.entries({ ...writing, ...refusing, ...listing })) {
    test(`${name}: ${title}`, async (t) => {
      const under = await open();
      t.teardown(() => under.end());
      await body(t, under.store);
    });
  }
}
