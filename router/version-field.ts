// The one thing that the router adds to a request: the version that it has chosen, for a model that
// has several. Field 2, model_version, once more at the end: of a scalar that comes twice the last
// counts (protobuf.dev/programming-guides/encoding), so nothing in front of it is touched.

const MODEL_VERSION_TAG = (2 << 3) | 2;

/** To be put behind the bytes of a ModelInferRequest, or of another that has the same field. */
export function versionField(version: number): Uint8Array {
  const digits = String(version);
  const field = new Uint8Array(2 + digits.length);
  field[0] = MODEL_VERSION_TAG;
  field[1] = digits.length;
  for (let at = 0; at < digits.length; at += 1) field[2 + at] = digits.charCodeAt(at);
  return field;
}
