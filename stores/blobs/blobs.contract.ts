// What every blob store promises, run over each implementation by its own test file.
import { createHash, randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError, unavailable } from '../../common/status.ts';
import { heldBytes } from '../../test/support/held-bytes.ts';
import { type BlobStore, MAX_LIST_BLOBS } from './blobs.ts';
import { verified } from './verified.ts';

/** More than any store holds of a blob at a time. */
const LARGE_BYTES = 64 * 1024 * 1024;
const MAX_HELD_BYTES = 48 * 1024 * 1024;
/** Enough that a store takes it in parts. */
const PARTS_BYTES = 10 * 1024 * 1024;
const MEASURE_STEP_BYTES = 8 * 1024 * 1024;

export interface BlobsUnderTest {
  readonly store: BlobStore;
  end(): Promise<void>;
}

type Body = (t: ExecutionContext, store: BlobStore) => Promise<void>;

const MAX_BYTES = 4 * 1024 * 1024;
const EMPTY = createHash('sha256').digest('hex');
const ABSENT = 'f'.repeat(64);

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function* inChunks(bytes: Uint8Array, chunkBytes = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

async function put(store: BlobStore, text: string): Promise<string> {
  const info = await store.write(inChunks(Buffer.from(text)), { maxBytes: MAX_BYTES });
  return info.sha256;
}

async function get(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source));
}

const expecting = (code: Code) => ({ instanceOf: StatusError, code });

const contents: Record<string, Body> = {
  'what was written is read back under its hash': async (t, store) => {
    const bytes = randomBytes(300_000);
    const info = await store.write(inChunks(bytes), { maxBytes: MAX_BYTES });
    t.deepEqual(info, { sha256: sha256Of(bytes), sizeBytes: 300_000 });
    t.deepEqual(await store.stat(info.sha256), info);
    t.deepEqual(await get(store.read(info.sha256)), bytes);
    t.deepEqual(await get(verified(store.read(info.sha256), info)), bytes);
  },
  'nothing is a blob too': async (t, store) => {
    t.is(await put(store, ''), EMPTY);
    t.deepEqual(await store.stat(EMPTY), { sha256: EMPTY, sizeBytes: 0 });
    t.deepEqual(await get(store.read(EMPTY)), Buffer.alloc(0));
  },
  'the same content twice is one blob, also at once': async (t, store) => {
    const hashes = await Promise.all(Array.from({ length: 5 }, () => put(store, 'the same')));
    t.is(new Set(hashes).size, 1);
    t.is((await store.list('', 10)).length, 1);
    t.deepEqual(await get(store.read(await put(store, 'the same'))), Buffer.from('the same'));
  },
  'reading resumes at any byte': async (t, store) => {
    const sha256 = await put(store, 'abcdef');
    t.is(String(await get(store.read(sha256, { startByte: 0 }))), 'abcdef');
    t.is(String(await get(store.read(sha256, { startByte: 4 }))), 'ef');
    t.is(String(await get(store.read(sha256, { startByte: 6 }))), '');
    await t.throwsAsync(get(store.read(sha256, { startByte: 7 })), expecting(Code.OUT_OF_RANGE));
    const negative = get(store.read(sha256, { startByte: -1 }));
    await t.throwsAsync(negative, expecting(Code.INVALID_ARGUMENT));
  },
  'a reader may stop early': async (t, store) => {
    const bytes = randomBytes(1_000_000);
    const { sha256 } = await store.write(inChunks(bytes), { maxBytes: MAX_BYTES });
    for await (const chunk of store.read(sha256)) {
      t.deepEqual(Buffer.from(chunk), bytes.subarray(0, chunk.length));
      break;
    }
    t.deepEqual(await get(store.read(sha256)), bytes);
  },
  'what is not there is NOT_FOUND, text that is no hash too': async (t, store) => {
    for (const name of [ABSENT, '', 'abc', '../../etc/passwd', ABSENT.toUpperCase(), 'a/b?c#d']) {
      t.is(await store.stat(name), undefined);
      await t.throwsAsync(get(store.read(name)), expecting(Code.NOT_FOUND));
      await t.notThrowsAsync(store.remove(name));
    }
  },
};

const refusals: Record<string, Body> = {
  'content above the limit is refused, at the limit it is kept': async (t, store) => {
    const bytes = randomBytes(50_000);
    const over = store.write(inChunks(bytes), { maxBytes: 49_999 });
    const error = await t.throwsAsync(over, expecting(Code.RESOURCE_EXHAUSTED));
    t.regex(error?.message ?? '', /49999 bytes/);
    t.deepEqual(await store.list('', 10), []);
    const info = await store.write(inChunks(bytes), { maxBytes: 50_000 });
    t.is(info.sizeBytes, 50_000);
    const limit = store.write(inChunks(bytes), { maxBytes: -1 });
    await t.throwsAsync(limit, expecting(Code.INVALID_ARGUMENT));
  },
  'an endless source is left at the limit': async (t, store) => {
    let hasEnded = false;
    async function* endless() {
      try {
        for (;;) yield Buffer.alloc(10_000);
      } finally {
        hasEnded = true;
      }
    }
    const writing = store.write(endless(), { maxBytes: 100_000 });
    await t.throwsAsync(writing, expecting(Code.RESOURCE_EXHAUSTED));
    t.true(hasEnded);
  },
  'other content than expected is DATA_LOSS and not kept': async (t, store) => {
    const bytes = Buffer.from('content');
    const expected = { maxBytes: MAX_BYTES, expectedSha256: sha256Of(bytes) };
    const wrong = store.write(inChunks(Buffer.from('other')), expected);
    await t.throwsAsync(wrong, expecting(Code.DATA_LOSS));
    t.deepEqual(await store.list('', 10), []);
    t.is((await store.write(inChunks(bytes), expected)).sha256, expected.expectedSha256);
    const noHash = store.write(inChunks(bytes), { maxBytes: MAX_BYTES, expectedSha256: 'abc' });
    await t.throwsAsync(noHash, expecting(Code.INVALID_ARGUMENT));
  },
  'a source that fails leaves nothing, and its error is told': async (t, store) => {
    async function* failing() {
      yield Buffer.alloc(100_000);
      throw unavailable('the upload broke off');
    }
    const error = await t.throwsAsync(store.write(failing(), { maxBytes: MAX_BYTES }));
    t.is(error?.message, 'the upload broke off');
    t.deepEqual(await store.list('', 10), []);
  },
  'closing ends a write whose source is silent': async (t, store) => {
    const started = Promise.withResolvers<void>();
    async function* silent() {
      yield Buffer.alloc(100);
      started.resolve();
      await new Promise(() => {});
    }
    const writing = store.write(silent(), { maxBytes: MAX_BYTES });
    await started.promise;
    const ended = t.throwsAsync(writing, expecting(Code.UNAVAILABLE));
    await store.close();
    await ended;
    await t.throwsAsync(store.stat(ABSENT), expecting(Code.UNAVAILABLE));
    await t.throwsAsync(get(store.read(ABSENT)), expecting(Code.UNAVAILABLE));
    await t.throwsAsync(put(store, 'late'), expecting(Code.UNAVAILABLE));
  },
};

const keeping: Record<string, Body> = {
  'blobs are listed in the order of their hashes, page by page': async (t, store) => {
    const texts = Array.from({ length: 20 }, (_, index) => `blob ${index}`);
    const hashes: string[] = [];
    for (const text of texts) hashes.push(await put(store, text));
    hashes.sort();
    const found: string[] = [];
    for (;;) {
      const page = await store.list(found.at(-1) ?? '', 6);
      if (page.length === 0) break;
      t.true(page.length <= 6);
      found.push(...page.map((info) => info.sha256));
    }
    t.deepEqual(found, hashes);
    for (const limit of [0, 1.5, MAX_LIST_BLOBS + 1]) {
      await t.throwsAsync(store.list('', limit), expecting(Code.INVALID_ARGUMENT));
    }
  },
  'a removed blob is gone, others stay': async (t, store) => {
    const [gone, stays] = [await put(store, 'gone'), await put(store, 'stays')];
    await store.remove(gone);
    t.is(await store.stat(gone), undefined);
    await t.throwsAsync(get(store.read(gone)), expecting(Code.NOT_FOUND));
    const [listed, ...others] = await store.list('', 10);
    t.like(listed, { sha256: stays, sizeBytes: 5 });
    t.deepEqual(others, []);
    // Clocks of disk and process differ by a little: this only tells that it is the time of now.
    t.true(Math.abs((listed?.writtenMs ?? 0) - Date.now()) < 60_000);
    t.is(await put(store, 'gone'), gone);
  },
};

/** What buffers held at most, above what they held before, while so many bytes went by. */
class HeldBytes {
  readonly #before = heldBytes();
  #nextBytes = MEASURE_STEP_BYTES;
  #bytes = 0;
  most = 0;

  pass(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#bytes < this.#nextBytes) return;
    this.#nextBytes += MEASURE_STEP_BYTES;
    this.most = Math.max(this.most, heldBytes() - this.#before);
  }
}

async function* large(sizeBytes: number, pass: (chunk: Uint8Array) => void = () => undefined) {
  for (let at = 0; at < sizeBytes; at += 65_536) {
    const chunk = Buffer.alloc(65_536, at / 65_536);
    pass(chunk);
    yield chunk;
  }
}

async function largeContent(t: ExecutionContext, store: BlobStore): Promise<void> {
  const held = new HeldBytes();
  const pass = (chunk: Uint8Array): void => held.pass(chunk);
  const info = await store.write(large(LARGE_BYTES, pass), { maxBytes: LARGE_BYTES });
  t.is(info.sizeBytes, LARGE_BYTES);
  for await (const chunk of verified(store.read(info.sha256), info)) pass(chunk);
  t.true(held.most < MAX_HELD_BYTES, `${held.most} bytes were held`);
  const half = LARGE_BYTES / 2 + 1;
  let resumedBytes = 0;
  for await (const chunk of store.read(info.sha256, { startByte: half })) {
    if (resumedBytes === 0) t.is(chunk[0], Math.floor(half / 65_536) % 256);
    resumedBytes += chunk.length;
  }
  t.is(resumedBytes, LARGE_BYTES - half);
}

async function partedContent(t: ExecutionContext, store: BlobStore): Promise<void> {
  const maxBytes = PARTS_BYTES;
  const parts = (): AsyncIterable<Uint8Array> => large(PARTS_BYTES);
  const wrong = store.write(parts(), { maxBytes, expectedSha256: ABSENT });
  await t.throwsAsync(wrong, expecting(Code.DATA_LOSS));
  const over = store.write(parts(), { maxBytes: maxBytes - 1 });
  await t.throwsAsync(over, expecting(Code.RESOURCE_EXHAUSTED));
  t.is(await store.stat(ABSENT), undefined);
  t.deepEqual(await store.list('', 10), []);
  const info = await store.write(parts(), { maxBytes });
  const { sha256: expectedSha256 } = info;
  t.deepEqual(await store.write(parts(), { maxBytes, expectedSha256 }), info);
  t.deepEqual(await store.stat(expectedSha256), info);
}

/** @param open makes a new, empty store. */
export function blobsContract(name: string, open: () => Promise<BlobsUnderTest>): void {
  for (const [title, body] of Object.entries({ ...contents, ...refusals, ...keeping })) {
    test(`${name}: ${title}`, async (t) => {
      const under = await open();
      t.teardown(() => under.end());
      await body(t, under.store);
    });
  }
  // Before the others: what they hold would count too.
  test.serial(`${name}: large content goes through without being held`, async (t) => {
    const under = await open();
    t.teardown(() => under.end());
    await largeContent(t, under.store);
  });
  test.serial(`${name}: content that comes in parts is kept when all of it is right`, async (t) => {
    const under = await open();
    t.teardown(() => under.end());
    await partedContent(t, under.store);
  });
}
