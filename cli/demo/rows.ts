// Rows of a data file, as requests of a model: each of the model's inputs takes the column of its
// name; a model with the one input `features` takes all columns but the target, in their order.
import type { TensorSpec } from '../../common/tensor.ts';
import { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';

export type Cell = string | number | boolean | null;
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A plain CSV without quotes, as the digits are: a header, then numbers. */
export function parsePlainCsv(text: string): Rows {
  const [head = '', ...lines] = text.trimEnd().split(/\r?\n/);
  return { columns: head.split(','), rows: lines.map((line) => line.split(',').map(Number)) };
}

/** A JSON array of objects; a key that a row lacks is null. */
export function parseJsonRows(text: string): Rows {
  const objects = JSON.parse(text) as Record<string, Cell>[];
  const columns = [...new Set(objects.flatMap((object) => Object.keys(object)))];
  return { columns, rows: objects.map((row) => columns.map((column) => row[column] ?? null)) };
}

/** The encoded ModelInfer request of some rows. */
export function encodeRows(
  model: string,
  inputs: readonly TensorSpec[],
  data: Rows,
  target: string,
  rowIndices: readonly number[],
): Uint8Array {
  const rows = rowIndices.map((index) => data.rows[index] ?? []);
  const tensors = inputs.map((input) => {
    const isVector = inputs.length === 1 && !data.columns.includes(input.name);
    const names = isVector ? data.columns.filter((name) => name !== target) : [input.name];
    const places = names.map((name) => data.columns.indexOf(name));
    const cells = rows.flatMap((row) => places.map((place) => row[place] ?? null));
    const inner = input.shape.slice(1);
    const shape = isVector && !inner.includes(-1) ? inner : [places.length];
    return { input, shape: [rows.length, ...shape], raw: rawBytes(input, cells) };
  });
  const request = ModelInferRequest.fromPartial({
    modelName: model,
    inputs: tensors.map(({ input, shape }) => ({
      name: input.name,
      datatype: input.datatype,
      shape: shape.map(BigInt),
    })),
    rawInputContents: tensors.map(({ raw }) => raw),
  });
  return ModelInferRequest.encode(request).finish();
}

function rawBytes(input: TensorSpec, cells: readonly Cell[]): Uint8Array {
  if (input.datatype === 'BYTES') return bytesElements(cells);
  if (input.datatype === 'FP32') {
    return new Uint8Array(Float32Array.from(cells, (cell) => numberOf(cell)).buffer);
  }
  if (input.datatype === 'INT64') {
    return new Uint8Array(BigInt64Array.from(cells, (cell) => BigInt(numberOf(cell))).buffer);
  }
  if (input.datatype === 'BOOL') return Uint8Array.from(cells, (cell) => (cell === true ? 1 : 0));
  throw new Error(`the demo does not write ${input.datatype} tensors`);
}

/** What a model trained here takes as missing: NaN, or the empty string. */
function numberOf(cell: Cell): number {
  return cell === null ? Number.NaN : Number(cell);
}

function bytesElements(cells: readonly Cell[]): Uint8Array {
  const parts = cells.map((cell) => Buffer.from(cell === null ? '' : String(cell)));
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      return [length, part];
    }),
  );
}

/** The elements of a label output, as text. */
export function labelsOf(datatype: string, raw: Uint8Array): readonly string[] {
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const labels: string[] = [];
  if (datatype === 'INT64') {
    for (let at = 0; at + 8 <= bytes.length; at += 8) labels.push(String(bytes.readBigInt64LE(at)));
    return labels;
  }
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    labels.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return labels;
}
