// The classification extension: an output's values turned into its k top classes, each a text
// "value:index" or "value:index:label", biggest value first.
import { invalidArgument } from '../../common/status.ts';
import { type Datatype, elementCount, elementSizeBytes, type Tensor } from '../../common/tensor.ts';

type Read = (view: DataView, at: number) => number | bigint;

const READ: Partial<Record<Datatype, Read>> = {
  INT8: (view, at) => view.getInt8(at),
  INT16: (view, at) => view.getInt16(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  INT64: (view, at) => view.getBigInt64(at, true),
  UINT8: (view, at) => view.getUint8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  UINT64: (view, at) => view.getBigUint64(at, true),
  FP32: (view, at) => view.getFloat32(at, true),
  FP64: (view, at) => view.getFloat64(at, true),
};

/** @throws INVALID_ARGUMENT for datatypes that have no order of numbers. */
export function checkClassifiable(output: string, datatype: Datatype): void {
  if (READ[datatype] !== undefined) return;
  throw invalidArgument(
    `class result not available for output '${output}' due to unsupported type '${datatype}'`,
  );
}

/**
 * The top `classCount` (at most all) values of each row. Rows are the first dimension of a model
 * that batches, else there is one. The answer is BYTES of shape [rows, k], or [k] without
 * batching.
 */
export function classify(
  tensor: Tensor,
  classCount: number,
  labels: readonly string[],
  batched: boolean,
): Tensor {
  const { name, datatype, shape, bytes } = tensor;
  const read = READ[datatype];
  if (read === undefined) return tensor;
  const rows = batched ? (shape[0] ?? 1) : 1;
  const width = elementCount(batched ? shape.slice(1) : shape);
  const k = Math.min(classCount, width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = elementSizeBytes(datatype);
  const isFloat = datatype.startsWith('FP');
  const texts: string[] = [];
  for (let row = 0; row < rows; row += 1) {
    const values = Array.from({ length: width }, (_, at) => read(view, (row * width + at) * size));
    const order = values.map((_, at) => at).sort((a, b) => compare(values[a], values[b]) || a - b);
    for (const index of order.slice(0, k)) {
      const value = values[index] ?? 0;
      const shown = isFloat ? Number(value).toFixed(6) : String(value);
      const label = labels[index];
      texts.push(label === undefined ? `${shown}:${index}` : `${shown}:${index}:${label}`);
    }
  }
  return {
    name,
    datatype: 'BYTES',
    shape: batched ? [rows, k] : [k],
    bytes: encodeStrings(texts),
  };
}

/** Bigger first; what is not a number last. */
function compare(a: number | bigint | undefined, b: number | bigint | undefined): number {
  if (a === undefined || b === undefined) return 0;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a > b ? -1 : a < b ? 1 : 0;
}

/** BYTES in raw form. */
export function encodeStrings(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}
