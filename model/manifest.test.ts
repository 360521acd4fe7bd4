import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { decodeManifest, encodeManifest, isInnerPath, type Manifest } from './manifest.ts';

const manifest: Manifest = {
  schema: 1,
  model: 'digits',
  version: 3,
  platform: 'onnxruntime_onnx',
  files: [
    { path: 'model.onnx', sha256: 'a'.repeat(64), sizeBytes: 10 },
    { path: 'labels/classes.txt', sha256: 'b'.repeat(64), sizeBytes: 0 },
  ],
  configPbtxt: '',
  inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 64] }],
  outputs: [{ name: 'label', datatype: 'INT64', shape: [-1, 1] }],
};

test('a manifest comes back, its files in order of their path', (t) => {
  const decoded = decodeManifest(encodeManifest(manifest));
  t.deepEqual(
    decoded.files.map((file) => file.path),
    ['labels/classes.txt', 'model.onnx'],
  );
  t.deepEqual(encodeManifest(decoded), encodeManifest(manifest));
});

test('paths that leave the folder, absolute or not plain, are refused', (t) => {
  for (const good of ['a', 'a/b.c', '.hidden', 'a..b']) t.true(isInnerPath(good), good);
  const bad = ['', '.', '..', '/a', '../a', 'a/../b', 'a//b', './a', 'a/', 'a\\b', 'a\0', 'a/..'];
  for (const path of bad) t.false(isInnerPath(path), JSON.stringify(path));
  const evil = { ...manifest, files: [{ ...manifest.files[0], path: '../../etc/passwd' }] };
  const bytes = new TextEncoder().encode(JSON.stringify(evil));
  const error = t.throws(() => decodeManifest(bytes));
  t.true(error instanceof StatusError && error.code === Code.DATA_LOSS);
});

test('text that is no manifest is refused with the reason', (t) => {
  for (const text of ['', '{', 'null', '[]', '{"schema":2}', '\u0000']) {
    const error = t.throws(() => decodeManifest(new TextEncoder().encode(text)), undefined, text);
    t.regex(error.message, /^manifest is not valid/);
  }
  t.throws(() => decodeManifest(new Uint8Array([0xff, 0xfe])), { message: /not valid/ });
});
