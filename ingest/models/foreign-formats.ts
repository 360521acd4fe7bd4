// Formats of models that are known but not served: how to tell each, and how its owner gets ONNX.
import { posix } from 'node:path';

/** A file with its first bytes; of a zip archive also the names of its entries. */
export interface LookedAt {
  readonly path: string;
  readonly head: Uint8Array;
  readonly entries: readonly string[];
}

export interface ForeignFormat {
  /** With its article: 'a TensorFlow SavedModel'. */
  readonly title: string;
  /** What to do, after a colon. */
  readonly advice: string;
  matches(file: LookedAt): boolean;
}

/** The more specific before the more general. */
export const FOREIGN_FORMATS: readonly ForeignFormat[] = [
  {
    title: 'a TensorFlow SavedModel',
    advice: 'convert it with python -m tf2onnx.convert --saved-model DIR --output model.onnx',
    matches: ({ path }) => /^saved_model\.pb(txt)?$/.test(posix.basename(path)),
  },
  {
    title: 'a Keras model (.keras)',
    advice: "convert it with model.export('model.onnx', format='onnx') in Keras 3",
    matches: ({ entries }) => entries.includes('config.json') && hasEntry(entries, /\.h5$/),
  },
  {
    title: 'a Keras model or weights in HDF5',
    advice: "load it in Keras 3 and convert it with model.export('model.onnx', format='onnx')",
    matches: ({ head }) => bytesAt(head, 0, [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]),
  },
  {
    title: 'a torch.export program (.pt2)',
    advice: 'convert it with torch.onnx.export(torch.export.load(FILE), (), "model.onnx")',
    matches: ({ entries }) =>
      hasEntry(
        entries,
        /(^|\/)(serialized_exported_program\.json|archive_format|models\/.*\.json)$/,
      ),
  },
  {
    title: 'a TorchScript model',
    advice: 'load it with torch.jit.load and convert it with torch.onnx.export(..., dynamo=False)',
    matches: ({ entries }) => hasEntry(entries, /(^|\/)(constants\.pkl|code\/.*\.py)$/),
  },
  {
    title: 'a PyTorch checkpoint, which holds weights but no network',
    advice: 'build the network in Python, load the weights and convert it with torch.onnx.export',
    matches: ({ entries }) => hasEntry(entries, /(^|\/)data\.pkl$/),
  },
  {
    title: 'a TensorFlow.js model',
    advice: 'convert it to a SavedModel with tensorflowjs_converter, and that with tf2onnx',
    matches: ({ head }) =>
      isJsonObject(head) && contains(head, /"(modelTopology|weightsManifest)"\s*:/),
  },
  {
    title: 'an XGBoost model',
    advice: 'convert it with onnxmltools.convert_xgboost',
    matches: ({ head }) =>
      (head[0] === 0x7b && contains(head.subarray(0, 4096), /learner/)) || text(head, 4) === 'binf',
  },
  {
    title: 'a LightGBM model',
    advice: 'convert it with onnxmltools.convert_lightgbm',
    matches: ({ head }) => /^tree\r?\nversion=/.test(text(head, 32)),
  },
  {
    title: 'a Python pickle, such as a scikit-learn model',
    advice:
      "convert it with skl2onnx.to_onnx(model, X[:1], options={id(model): {'zipmap': False}}); a " +
      'pickle is never opened here, because that runs the code inside',
    matches: ({ head, path }) =>
      (head[0] === 0x80 && (head[1] ?? 0) >= 2 && (head[1] ?? 0) <= 5) ||
      /\.(joblib|pkl|pickle)$/i.test(path),
  },
  {
    title: 'a TensorFlow Lite model',
    advice: 'convert it with python -m tf2onnx.convert --tflite FILE --output model.onnx',
    matches: ({ head }) => text(head.subarray(4), 4) === 'TFL3',
  },
  {
    title: 'a safetensors file, which holds weights but no network',
    advice: 'build the network in Python, load the weights and convert it with torch.onnx.export',
    matches: ({ head }) => bytesAt(head, 4, [0, 0, 0, 0]) && text(head.subarray(8), 2) === '{"',
  },
  {
    title: 'a GGUF language model',
    advice: 'export the original network to ONNX',
    matches: ({ head }) => text(head, 4) === 'GGUF',
  },
  {
    title: 'an archive',
    advice: 'unpack it and give its files',
    matches: ({ head, entries }) =>
      entries.length > 0 ||
      bytesAt(head, 0, [0x1f, 0x8b]) ||
      text(head.subarray(257), 5) === 'ustar',
  },
];

function hasEntry(entries: readonly string[], pattern: RegExp): boolean {
  return entries.some((entry) => pattern.test(entry));
}

function text(head: Uint8Array, lengthBytes: number): string {
  return Buffer.from(head.subarray(0, lengthBytes)).toString('latin1');
}

function isJsonObject(head: Uint8Array): boolean {
  return /^(\xef\xbb\xbf)?\s*\{\s*"/.test(text(head, 256));
}

function contains(head: Uint8Array, pattern: RegExp): boolean {
  return pattern.test(text(head, head.length));
}

function bytesAt(head: Uint8Array, start: number, bytes: readonly number[]): boolean {
  return bytes.every((byte, index) => head[start + index] === byte);
}
