// An ONNX model that keeps its weights in a file beside it, which our own writer never does.
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

type Content = string | number | Uint8Array;

/** One protobuf message: numbers are varints, texts and nested messages have a length. */
export function protobuf(...fields: readonly (readonly [number: number, content: Content])[]) {
  const writer = new BinaryWriter();
  for (const [number, content] of fields) {
    if (typeof content === 'number') writer.tag(number, WireType.Varint).int64(content);
    else {
      writer.tag(number, WireType.LengthDelimited);
      if (typeof content === 'string') writer.string(content);
      else writer.bytes(content);
    }
  }
  return writer.finish();
}

/** y [batch, 1] = x [batch, 2] times w [2, 1], FP32, w being the first 8 bytes of `location`. */
export function externalDataModel(location: string): Uint8Array {
  const dim = (content: Content) => protobuf([typeof content === 'number' ? 1 : 2, content]);
  const value = (name: string, columns: number) => {
    const shape = protobuf([1, dim('batch')], [1, dim(columns)]);
    return protobuf([1, name], [2, protobuf([1, protobuf([1, 1], [2, shape])])]);
  };
  const entry = (key: string, text: string) => protobuf([1, key], [2, text]);
  const weights = protobuf(
    [1, 2],
    [1, 1],
    [2, 1],
    [8, 'w'],
    [13, entry('location', location)],
    [13, entry('offset', '0')],
    [13, entry('length', '8')],
    [14, 1],
  );
  const node = protobuf([1, 'x'], [1, 'w'], [2, 'y'], [3, 'n'], [4, 'MatMul']);
  const graph = protobuf(
    [1, node],
    [2, 'external'],
    [5, weights],
    [11, value('x', 2)],
    [12, value('y', 1)],
  );
  return protobuf([1, 8], [7, graph], [8, protobuf([1, ''], [2, 18])]);
}
