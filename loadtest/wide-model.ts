// A model that does next to nothing to a large tensor: what its server costs is moving the bytes.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GraphBuilder } from '../model/onnx/graph.ts';
import { ModelInferRequest, ModelInferResponse } from '../proto/gen/inference/grpc_service.ts';

export const WIDE = 'wide';
const FLOAT_BYTES = 4;

/** A model repository with this one model: y = -x, rows of `rowBytes`. */
export async function writeWideRepository(folder: string, rowBytes: number): Promise<void> {
  const dims = ['batch', rowBytes / FLOAT_BYTES];
  const graph = new GraphBuilder(WIDE);
  graph.node('Neg', [graph.input('x', 'FP32', dims)], { output: 'y' });
  graph.output('y', 'FP32', dims);
  const version = join(folder, WIDE, '1');
  await mkdir(version, { recursive: true });
  await writeFile(join(version, 'model.onnx'), graph.write());
}

/** Floats that are not all the same. */
function row(rowBytes: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: rowBytes / FLOAT_BYTES }, (_, at) => (at % 977) + 1);
}

/** A ModelInfer request of one row. */
export function wideRequest(rowBytes: number): Uint8Array {
  const request = ModelInferRequest.fromPartial({
    modelName: WIDE,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1n, BigInt(rowBytes / FLOAT_BYTES)] }],
    rawInputContents: [new Uint8Array(row(rowBytes).buffer)],
  });
  return ModelInferRequest.encode(request).finish();
}

/** Whether a ModelInferResponse holds what the model says to wideRequest(). */
export function wideCheck(rowBytes: number): (answer: Uint8Array) => boolean {
  const expected = new Uint8Array(row(rowBytes).map((value) => -value).buffer);
  return (answer) => {
    const [raw] = ModelInferResponse.decode(answer).rawOutputContents;
    return raw !== undefined && Buffer.compare(raw, expected) === 0;
  };
}
