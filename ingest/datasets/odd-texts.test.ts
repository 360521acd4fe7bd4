import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { DatasetStore, Value } from '../../stores/datasets/datasets.ts';
import { MemoryDatasets } from '../../stores/datasets/memory.ts';
import { importFile } from './import-file.ts';

async function* inChunks(file: string | Uint8Array, chunkBytes: number) {
  const bytes = Buffer.from(file);
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

function run(store: DatasetStore, fileName: string, source: AsyncIterable<Uint8Array>) {
  return importFile({
    ...{ source, fileName, store, dataset: 'd', version: 1, sourceName: 'job' },
    maxBadRowRatio: 0.5,
    temporaryPath: join(tmpdir(), 'torus-import-unused'),
    signal: new AbortController().signal,
  });
}

async function rowsOf(store: DatasetStore): Promise<Value[][]> {
  const rows: Value[][] = [];
  for await (const { rowCount, columns } of store.scan('d', 1)) {
    for (let at = 0; at < rowCount; at += 1) rows.push(columns.map((one) => one[at] ?? null));
  }
  return rows;
}

test('lines that end with a return alone are read, in whatever pieces they come', async (t) => {
  for (const chunkBytes of [1, 7, 1_000]) {
    const store = new MemoryDatasets();
    const result = await run(store, 'x.csv', inChunks('a,b\r1,x\r2,"y"\r3,z', chunkBytes));
    t.like(result, { read: 3, accepted: 3, rejected: 0 });
    t.deepEqual((await rowsOf(store)).at(1), [2, 'y']);
  }
});

test('odd texts: each is read or refused with a reason that says what it is', async (t) => {
  const refused: readonly (readonly [name: string, content: Buffer | string, reason: RegExp])[] = [
    ['x.csv', Buffer.from('a,b\n1,2\n', 'utf16le'), /no text, or UTF-16: .* bytes that are 0/],
    ['x.csv', Buffer.from('\ufeffa,b\n1,2\n', 'utf16le'), /it is UTF-16 text: save it as UTF-8/],
    ['x.csv', 'a,b,a\n1,2,3\n', /names column "a" twice/],
    ['x.csv', 'x'.repeat(3_000_000), /header can't be read: the record is longer than 1048576/],
    ['x.json', '\ufeff{"a":1}', /must be an array of objects/],
  ];
  for (const [name, content, reason] of refused) {
    const error = await t.throwsAsync(run(new MemoryDatasets(), name, inChunks(content, 65_536)));
    t.regex(error?.message ?? '', reason);
  }
  const nested = `${'['.repeat(400_000)}${']'.repeat(400_000)}`;
  const odd: readonly (readonly [name: string, content: string, reason: RegExp])[] = [
    ['x.csv', `a,b\n1,${'x'.repeat(3_000_000)}\n3,4\n`, /row 1: the record is longer than/],
    ['x.jsonl', `{"a":${nested}}\n{"a":1}\n`, /column "a": an array found, expected is INT64/],
    ['x.jsonl', '{"a":1,"b":":","a":2}\n{"a":1,"b":":"}\n', /the record has key "a" twice/],
    ['x.json', `[${nested},{"a":1}]`, /the record is an array, expected is an object/],
  ];
  for (const [name, content, reason] of odd) {
    const store = new MemoryDatasets();
    const source = inChunks(content, 65_536);
    const result = await run(store, name, source);
    t.like(result, { read: 2, accepted: 1, rejected: 1 }, name);
    t.regex((await store.rejected('d', 1, 0, 1))[0]?.reason ?? '', reason);
  }
});
