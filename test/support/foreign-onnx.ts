// ONNX models as other programs write them and our own writer never does.
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

const dimension = (content: Content) => protobuf([typeof content === 'number' ? 1 : 2, content]);

/** FP32; without `columns` it declares no shape. */
function valueInfo(name: string, columns?: number): Uint8Array {
  const dims = columns === undefined ? [] : ['batch', columns];
  const shape = protobuf(...dims.map((dim) => [1, dimension(dim)] as const));
  const type = columns === undefined ? protobuf([1, 1]) : protobuf([1, 1], [2, shape]);
  return protobuf([1, name], [2, protobuf([1, type])]);
}

function modelOf(graph: Uint8Array): Uint8Array {
  return protobuf([1, 8], [7, graph], [8, protobuf([1, ''], [2, 18])]);
}

/** y [batch, 1] = x [batch, 2] times w [2, 1], FP32, w being the first 8 bytes of `location`. */
export function externalDataModel(location: string): Uint8Array {
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
  return modelOf(
    protobuf(
      [1, node],
      [2, 'external'],
      [5, weights],
      [11, valueInfo('x', 2)],
      [12, valueInfo('y', 1)],
    ),
  );
}

/** y = -x, FP32 [batch, 2]; the file does not say which shape y has. */
export function undeclaredShapeModel(): Uint8Array {
  const node = protobuf([1, 'x'], [2, 'y'], [3, 'n'], [4, 'Neg']);
  return modelOf(
    protobuf([1, node], [2, 'undeclared'], [11, valueInfo('x', 2)], [12, valueInfo('y')]),
  );
}
