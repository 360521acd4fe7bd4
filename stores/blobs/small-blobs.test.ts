import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import type { BlobReader } from './blobs.ts';
import { openDirectoryBlobs } from './directory.ts';
import { readSmallBlob, writeSmallBlob } from './small-blobs.ts';

const folder = await mkdtemp(join(tmpdir(), 'torus-small-blobs-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

test('what was written is read back whole; more bytes or others are DATA_LOSS', async (t) => {
  const blobs = await openDirectoryBlobs(folder);
  const { sha256, sizeBytes } = await writeSmallBlob(blobs, Buffer.from('content'));
  t.is(sizeBytes, 7);
  t.is(String(await readSmallBlob(blobs, { sha256, maxBytes: 7 })), 'content');
  const lost = { instanceOf: StatusError, code: Code.DATA_LOSS };
  await t.throwsAsync(readSmallBlob(blobs, { sha256, maxBytes: 6, what: 'the list' }), {
    ...lost,
    message: 'the list is longer than 6 bytes',
  });
  const damaged: BlobReader = {
    stat: (name) => blobs.stat(name),
    async *read() {
      yield Buffer.from('cOntent');
    },
  };
  await t.throwsAsync(readSmallBlob(damaged, { sha256, maxBytes: 7 }), lost);
  await t.throwsAsync(readSmallBlob(blobs, { sha256: 'f'.repeat(64), maxBytes: 7 }), {
    instanceOf: StatusError,
    code: Code.NOT_FOUND,
  });
  await blobs.close();
});
