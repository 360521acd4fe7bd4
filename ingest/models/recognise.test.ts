import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { addModel } from '../../test/support/tiny-onnx.ts';
import { checkPaths, type ModelFile, placeFiles } from './model-file.ts';
import { looksLikeOnnx, MAX_LOOKED_AT_FILES, recogniseModel } from './recognise.ts';

const ONNX = addModel(2);

function file(path: string, content: Uint8Array | string = ''): ModelFile {
  const bytes = Buffer.from(content);
  const read = async (start: number, max: number) => bytes.subarray(start, start + max);
  return { path, sizeBytes: bytes.length, read };
}

/** An archive's first header and its central directory: what telling formats apart needs. */
function zip(...names: string[]): Buffer {
  const headers = names.map((name) => {
    const header = Buffer.alloc(46);
    header.write('PK\x01\x02', 'latin1');
    header.writeUInt16LE(Buffer.byteLength(name), 28);
    return Buffer.concat([header, Buffer.from(name)]);
  });
  return Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(100), ...headers]);
}

test('ONNX is found by name or by content, in any folder', async (t) => {
  const cases: [ModelFile[], string, string][] = [
    [[file('model.onnx', ONNX)], '', 'model.onnx'],
    [[file('config.pbtxt'), file('1/net.ONNX', ONNX)], '', '1/net.ONNX'],
    [[file('weights.bin'), file('network', ONNX)], '', 'network'],
    [[file('a.onnx', ONNX), file('x/model.onnx', ONNX)], '', 'x/model.onnx'],
    [[file('a.onnx', ONNX), file('model.onnx', ONNX)], 'a.onnx', 'a.onnx'],
    [[file('m/a.bin', ONNX), file('m/b.onnx', ONNX)], 'a.bin', 'm/a.bin'],
    // Damaged, but named ONNX and nothing else: verification says what is wrong with it.
    [[file('model.onnx', 'not a model')], '', 'model.onnx'],
  ];
  for (const [files, filename, path] of cases) {
    t.is(await recogniseModel(files, filename, undefined), path);
  }
  t.is(await recogniseModel([file('m.onnx', ONNX)], '', 'onnx'), 'm.onnx');
});

test('what is not clear is INVALID_ARGUMENT and says what to do', async (t) => {
  const cases: [ModelFile[], string, RegExp][] = [
    [[file('config.pbtxt')], '', /only config.pbtxt/],
    [
      [file('a.onnx', ONNX), file('b.onnx', ONNX)],
      '',
      /2 ONNX models \('a.onnx', 'b.onnx'\): give/,
    ],
    [[file('a.txt', 'hello'), file('b')], '', /no model was recognised among 'a.txt', 'b'/],
    [[file('a.onnx', ONNX)], 'b.onnx', /names 'b.onnx' as the model, which is not among the files/],
    [[file('1/a.onnx', ONNX), file('2/a.onnx', ONNX)], 'a.onnx', /there more than once/],
    [[file('m.onnx', 'version https://git-lfs.github.com/spec/v1')], '', /is a Git LFS pointer/],
  ];
  for (const [files, filename, message] of cases) {
    const error = await t.throwsAsync(recogniseModel(files, filename, undefined), {
      instanceOf: StatusError,
      message,
    });
    t.is(error?.code, Code.INVALID_ARGUMENT);
  }
  await t.throwsAsync(recogniseModel([file('m.onnx', ONNX)], '', 'keras'), {
    message: /format 'keras' was told, but the files hold an ONNX model/,
  });
});

test('other formats are UNIMPLEMENTED, by their name and with what to do', async (t) => {
  const hdf5 = Buffer.from([0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 0]);
  const cases: [ModelFile[], RegExp][] = [
    [[file('m/saved_model.pb', '\x08\x01'), file('m/variables/x')], /SavedModel.*tf2onnx/],
    [[file('m.keras', zip('metadata.json', 'config.json', 'model.weights.h5'))], /Keras model \(/],
    [[file('m.h5', hdf5)], /HDF5/],
    [[file('m.pt2', zip('m/archive_format', 'm/models/model.json'))], /torch.export program/],
    [[file('m.pt', zip('m/data.pkl', 'm/code/__torch__.py', 'm/constants.pkl'))], /TorchScript/],
    [[file('m.pt', zip('archive/data.pkl', 'archive/data/0'))], /PyTorch checkpoint/],
    [[file('model.json', ' {"format": "layers-model", "modelTopology": {}}')], /TensorFlow.js/],
    [[file('m.json', '{"learner":{"attributes":{}}}')], /XGBoost/],
    [[file('m.ubj', '{L\x00\x00\x00\x00\x00\x00\x00\x07learner{')], /XGBoost/],
    [[file('m.txt', 'tree\nversion=v4\nnum_class=1')], /LightGBM/],
    [[file('m', Buffer.from([0x80, 4, 0x95]))], /scikit-learn model. Only ONNX .*never opened/],
    [[file('m.joblib', 'x')], /Python pickle/],
    [[file('m.tflite', '\x1c\0\0\0TFL3')], /TensorFlow Lite/],
    [[file('m.safetensors', '\x40\0\0\0\0\0\0\0{"a":{}}')], /safetensors/],
    [[file('m.gguf', 'GGUF\x03')], /GGUF/],
    [[file('m.zip', zip('model.onnx'))], /is an archive. Only ONNX models are served: unpack/],
    [[file('m.tar.gz', Buffer.from([0x1f, 0x8b, 8]))], /an archive/],
    // A wrong name does not help.
    [[file('model.onnx', hdf5)], /'model.onnx' is a Keras model or weights in HDF5/],
  ];
  for (const [files, message] of cases) {
    const error = await t.throwsAsync(recogniseModel(files, '', undefined), {
      instanceOf: StatusError,
      message,
    });
    t.is(error?.code, Code.UNIMPLEMENTED);
  }
});

test('only so many files are looked at, and only their beginnings', async (t) => {
  let reads = 0;
  const files = Array.from({ length: 1_000 }, (_, index): ModelFile => {
    const read = async (start: number, max: number) => {
      reads += 1;
      t.true(start === 0 && max <= 64 * 1024);
      return new Uint8Array(16);
    };
    return { path: `part-${index}`, sizeBytes: 2 ** 40, read };
  });
  await t.throwsAsync(recogniseModel(files, '', undefined), { message: /and 995 more/ });
  t.is(reads, MAX_LOOKED_AT_FILES);
});

test('any bytes are recognised or refused, never a crash', async (t) => {
  const head = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc
      .uint8Array({ maxLength: 64 })
      .map((bytes) => Buffer.concat([Buffer.from('PK\x03\x04'), bytes])),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.concat([zip('a'), bytes])),
  );
  const property = fc.asyncProperty(head, async (bytes) => {
    const error = await recogniseModel([file('m', bytes)], '', undefined).catch((thrown) => thrown);
    return error === 'm' || error instanceof StatusError;
  });
  await fc.assert(property, { numRuns: 500 });
  t.true(looksLikeOnnx(ONNX));
  for (let cut = 0; cut < 20; cut++) looksLikeOnnx(ONNX.subarray(0, cut));
});

test('files move with the model to where the server looks for it', (t) => {
  const place = (paths: string[], model: string, name: string) =>
    Object.fromEntries(placeFiles(paths, model, name));
  t.deepEqual(
    place(['config.pbtxt', '1/net.onnx', '1/w.bin', 'labels.txt'], '1/net.onnx', 'model.onnx'),
    {
      '1/net.onnx': 'model.onnx',
      '1/w.bin': 'w.bin',
      'labels.txt': 'labels.txt',
    },
  );
  t.deepEqual(place(['a/b/m.onnx', 'a/b/d/w', 'a/x'], 'a/b/m.onnx', 'sub/m.onnx'), {
    'a/b/m.onnx': 'sub/m.onnx',
    'a/b/d/w': 'sub/d/w',
    'a/x': 'a/x',
  });
  t.deepEqual(place(['m.onnx', 'd/w'], 'm.onnx', 'model.onnx'), {
    'm.onnx': 'model.onnx',
    'd/w': 'd/w',
  });
  t.throws(() => place(['1/m.onnx', 'w', '1/w'], '1/m.onnx', 'model.onnx'), {
    message: /'w' is given twice/,
  });
});

test('paths that leave the folder, repeat or contradict are refused', (t) => {
  t.notThrows(() => checkPaths(['a', 'b/c', 'b/d']));
  for (const [paths, message] of [
    [['../a'], /plain path/],
    [['/a'], /plain path/],
    [['a/../b'], /plain path/],
    [['a', 'a'], /'a' is given twice/],
    [['a/b/c', 'a'], /'a' is both a file and a folder/],
  ] as const) {
    t.throws(() => checkPaths(paths), { instanceOf: StatusError, message });
  }
});
