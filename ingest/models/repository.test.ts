import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import anyTest, { type TestFn } from 'ava';
import { Catalog } from '../../catalog/catalog.ts';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import { externalDataModel } from '../../test/support/foreign-onnx.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import { importRepository } from './import-repository.ts';
import { inspectModel } from './inspect.ts';
import { MAX_FILE_BYTES, readRepository } from './repository.ts';

/** A folder; `root`, in it, is the repository. */
const test = anyTest as TestFn<{ dir: string; root: string }>;

test.beforeEach(async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'torus-repository-'));
  t.context = { dir, root: join(dir, 'root') };
  await mkdir(t.context.root);
});
test.afterEach.always((t) => rm(t.context.dir, { recursive: true, force: true }));

async function put(root: string, files: Record<string, Uint8Array | string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

test('versions with their files, as the version policy asks', async (t) => {
  const { root } = t.context;
  await put(root, {
    'README.md': 'no model',
    '.git/x': '',
    'newest/1/model.onnx': 'a',
    'newest/10/model.onnx': 'b',
    'newest/9/model.onnx': 'c',
    'newest/notes/x': '',
    'newest/01/model.onnx': 'no version',
    'all/config.pbtxt': 'version_policy { all {} } output { name: "y" label_filename: "l.txt" }',
    'all/l.txt': 'a\nb',
    'all/other.txt': '',
    'all/2/model.onnx/model.onnx': 'a',
    'all/2/model.onnx/w.bin': 'b',
    'all/3/model.onnx': 'a',
    'two/config.pbtxt': 'version_policy { latest { num_versions: 2 } }',
    'two/1/model.onnx': '',
    'two/2/model.onnx': '',
    'two/3/model.onnx': '',
    'specific/config.pbtxt': 'version_policy { specific { versions: [2] } }',
    'specific/1/model.onnx': '',
    'specific/2/model.onnx': '',
  });
  const { versions, refused } = await readRepository(root);
  t.deepEqual(refused, []);
  const seen = versions.map(({ model, version, isNewest, files }) => {
    return [model, version, isNewest, files.map(({ path }) => path).join(' ')];
  });
  t.deepEqual(seen, [
    ['all', 2, false, 'config.pbtxt l.txt model.onnx/model.onnx model.onnx/w.bin'],
    ['all', 3, true, 'config.pbtxt l.txt model.onnx'],
    ['newest', 10, true, 'model.onnx'],
    ['specific', 2, true, 'config.pbtxt model.onnx'],
    ['two', 2, false, 'config.pbtxt model.onnx'],
    ['two', 3, true, 'config.pbtxt model.onnx'],
  ]);
});

test('each that is wrong is refused with its reason, the others go on', async (t) => {
  const { dir, root } = t.context;
  await put(dir, { 'secret/1/model.onnx': 'secret', 'w.bin': 'secret' });
  await put(root, {
    'good/1/model.onnx': 'a',
    'bad name/1/model.onnx': '',
    'none/model.onnx': '',
    'config/config.pbtxt': 'max_batch: 1',
    'config/1/model.onnx': '',
    'missing/config.pbtxt': 'version_policy { specific { versions: [7] } }',
    'missing/1/model.onnx': '',
    'labels/config.pbtxt': 'output { name: "y" label_filename: "../../w.bin" }',
    'labels/1/model.onnx': '',
    'link/1/model.onnx': '',
    'pipe/1/model.onnx': '',
  });
  await mkdir(join(root, 'empty/1'), { recursive: true });
  await symlink(join(dir, 'secret'), join(root, 'outside'));
  await symlink(join(dir, 'w.bin'), join(root, 'link/1/w.bin'));
  await symlink(join(root, 'good'), join(root, 'alias'));
  execFileSync('mkfifo', [join(root, 'pipe/1/w.bin')]);
  const { versions, refused } = await readRepository(root);
  t.deepEqual(
    versions.map(({ model }) => model),
    ['alias', 'good'],
  );
  const reasons = new Map(refused.map(({ path, error }) => [path, error.message]));
  const expected: [string, RegExp][] = [
    ['bad name', /model name "bad name" is not allowed/],
    ['none', /has no version: .* none\/1\/model.onnx/],
    ['config', /config.pbtxt, line 1, column 1: ModelConfig has no field 'max_batch'/],
    ['missing', /asks for version 7, there are: 1/],
    ['labels', /label_filename "\.\.\/\.\.\/w.bin" must be a plain path/],
    ['empty/1', /the folder is empty/],
    ['outside', /'outside' is a link that leads out of the repository/],
    ['link/1', /'link\/1\/w.bin' is a link that leads out/],
    ['pipe/1', /'pipe\/1\/w.bin' is no regular file/],
  ];
  for (const [path, message] of expected) t.regex(reasons.get(path) ?? '', message, path);
  t.is(reasons.size, expected.length);
  await t.throwsAsync(readRepository(join(root, 'nowhere')), {
    code: Code.INVALID_ARGUMENT,
    message: /cannot read the model repository at .*nowhere: it is not there/,
  });
});

test('links, odd names and sizes of a hostile repository are told by their place', async (t) => {
  const { root } = t.context;
  const models = ['good', 'loop', 'back', 'dangling', 'device', 'folder', 'name', 'bytes', 'holes'];
  for (const model of models) await put(root, { [`${model}/1/model.onnx`]: 'a' });
  const at = (path: string) => join(root, path);
  await symlink('w.bin', at('loop/1/w.bin'));
  await symlink('.', at('back/1/again'));
  await symlink('nothing', at('dangling/1/w.bin'));
  await symlink('/dev/zero', at('device/1/w.bin'));
  await symlink('/etc', at('folder/1/etc'));
  await put(root, { 'name/1/a\\b': '', 'file/1': '', 'many/1/model.onnx': 'a' });
  await writeFile(Buffer.concat([Buffer.from(`${at('bytes/1')}/`), Buffer.from([0xff])]), '');
  await truncate(at('holes/1/model.onnx'), MAX_FILE_BYTES + 1);
  // 8 ** 5 ways through a handful of folders.
  for (let level = 0; level < 5; level += 1) {
    await mkdir(at(`many/1/${level}`), { recursive: true });
    for (let way = 0; way < 8; way += 1) {
      await symlink(`../${level + 1}`, at(`many/1/${level}/${way}`));
    }
  }
  await mkdir(at('many/1/5'));
  const { versions, refused } = await readRepository(root);
  t.deepEqual(
    versions.map(({ model }) => model),
    ['good'],
  );
  const reasons = new Map(refused.map(({ path, error }) => [path, error]));
  const expected: [string, RegExp][] = [
    ['loop/1', /^cannot read the repository at 'loop\/1\/w.bin': its links lead in a circle$/],
    ['back/1', /^folders nest over 16 deep, or a link leads back$/],
    ['dangling/1', /^cannot read the repository at 'dangling\/1\/w.bin': it is not there/],
    ['device/1', /^'device\/1\/w.bin' is a link that leads out of the repository$/],
    ['folder/1', /^'folder\/1\/etc' is a link that leads out of the repository$/],
    ['name/1', /^file name "a\\\\b" is not allowed/],
    ['bytes/1', /^file name "\ufffd" is not allowed: it must be UTF-8/],
    ['file/1', /^cannot read the repository at 'file\/1': a part of the path is a file/],
    ['holes/1', /^'holes\/1\/model.onnx' has 68719476737 bytes, at most 68719476736/],
    ['many/1', /^a version has at most 1000 folders, links followed$/],
  ];
  for (const [path, message] of expected) {
    t.regex(reasons.get(path)?.message ?? '', message, path);
    t.not(reasons.get(path)?.code, Code.INTERNAL, path);
  }
  t.is(reasons.size, expected.length);
});

test('imported once, found again, and never changed in place', async (t) => {
  const { dir, root } = t.context;
  const catalog = new Catalog(new MemoryDocuments());
  const blobs = await openDirectoryBlobs(join(dir, 'blobs'));
  const log = createLog({ role: 'test', level: 'silent' });
  const dateMs = () => 1_000;
  const options = { catalog, blobs, tempDir: dir, dateMs, log, verify: inspectModel };
  const { signal } = new AbortController();
  const policy = 'version_policy { all {} }';
  await put(root, {
    'add/config.pbtxt': policy,
    'add/1/model.onnx': addModel(2),
    'add/2/model.onnx': addModel(3),
    'external/4/model.onnx/model.onnx': externalDataModel('w.bin'),
    'external/4/model.onnx/w.bin': new Uint8Array(8),
    'broken/1/model.onnx': 'not a model',
  });
  const first = await importRepository(options, root, signal);
  const named = first.imported.map(({ model, version }) => `${model}/${version}`);
  t.deepEqual(named, ['add/1', 'add/2', 'external/4']);
  t.deepEqual(
    first.refused.map(({ path }) => path),
    ['broken/1'],
  );
  t.like((await catalog.require('model', 'add')).doc, {
    servingVersion: 2,
    loadedVersions: [1, 2],
  });
  t.like((await catalog.require('model', 'external')).doc, { servingVersion: 4 });

  const before = await catalog.all('version');
  const again = await importRepository(options, root, signal);
  t.like(again, { imported: [], unchangedCount: 3 });
  t.deepEqual(await catalog.all('version'), before);

  await put(root, { 'add/2/model.onnx': addModel(5), 'external/5/model.onnx': addModel(4) });
  const changed = await importRepository(options, root, signal);
  t.deepEqual(
    changed.imported.map(({ version }) => version),
    [5],
  );
  t.is(changed.unchangedCount, 1);
  const message = changed.refused.find(({ path }) => path === 'add/2')?.error.message ?? '';
  t.regex(message, /version 2 of model 'add' is there already, with other files: versions never/);
  t.like((await catalog.require('model', 'external')).doc, {
    servingVersion: 5,
    loadedVersions: [5],
  });
  await blobs.close();
});

test('what is stored since long ago is young again, so that nobody collects it now', async (t) => {
  const { dir, root } = t.context;
  await put(root, { 'm/1/model.onnx': addModel(2) });
  const blobs = await openDirectoryBlobs(join(dir, 'blobs'));
  t.teardown(() => blobs.close());
  const { sha256 } = await blobs.write(Readable.from([addModel(2)]), { maxBytes: 2 ** 20 });
  const path = join(dir, 'blobs', 'blobs', sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  await utimes(path, new Date(1_000), new Date(1_000));
  const catalog = new Catalog(new MemoryDocuments());
  const log = createLog({ role: 'test', level: 'silent' });
  const options = { catalog, blobs, tempDir: join(dir, 'temp'), dateMs: () => 1, log };
  const { signal } = new AbortController();
  const { refused } = await importRepository({ ...options, verify: inspectModel }, root, signal);
  t.deepEqual(refused, []);
  const listed = (await blobs.list('', 10)).find((blob) => blob.sha256 === sha256);
  t.true((listed?.writtenMs ?? 0) > 1_000_000);
});
