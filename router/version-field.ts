// The one thing that the router adds to a request: the version that it has chosen, for a model that
// has several. Field 2, model_version, once more at the end: of a scalar that comes twice the last
// counts (protobuf.dev/programming-guides/encoding), so nothing in front of it is touched.

import { versionField as versionOfModelSpec } from '../proto/tfs/predict.ts';
import { isServingPath, PREDICTION_SERVICE } from '../proto/tfs/services.ts';

const MODEL_VERSION_TAG = (2 << 3) | 2;

const MULTI_INFERENCE = `/${PREDICTION_SERVICE}/MultiInference`;

/** Whether a version can be put behind requests of that method: its tasks have one each. */
export function takesVersion(path: string): boolean {
  return path !== MULTI_INFERENCE;
}

/** To be put behind the bytes of a request: its field 2, or that of its ModelSpec. */
export function versionField(path: string, version: number): Uint8Array {
  return isServingPath(path) ? versionOfModelSpec(version) : versionOfInfer(version);
}

function versionOfInfer(version: number): Uint8Array {
  const digits = String(version);
  const field = new Uint8Array(2 + digits.length);
  field[0] = MODEL_VERSION_TAG;
  field[1] = digits.length;
  for (let at = 0; at < digits.length; at += 1) field[2 + at] = digits.charCodeAt(at);
  return field;
}
