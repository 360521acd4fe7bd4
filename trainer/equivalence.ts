// The proof that an exported file computes what was trained: ONNX Runtime is given the raw held-out
// rows, and must answer what TensorFlow.js answers for them. run() blocks its thread: this belongs
// in the training process.
import '../common/no-telemetry.ts';
import ort from 'onnxruntime-node';
import { Code, StatusError } from '../common/status.ts';
import { encodeRows, type FeaturePlan } from './columns/features.ts';
import { inputSpecs, rawInputs } from './columns/raw-inputs.ts';
import type { Table } from './columns/table.ts';
import { type Head, PREDICTION_OUTPUT, PROBABILITIES_OUTPUT } from './export.ts';

/** Above it the export is taken for wrong and the job fails. */
export const MAX_ABS_DIFFERENCE = 1e-4;
/**
 * Features so many deviations from the mean are as large as a network normally sees. Beyond, FP32
 * rounds a row's sums by as much more, in either runtime, and its difference counts by that less.
 */
const USUAL_DEVIATIONS = 10;
/** Rows of one run. */
const BATCH_ROWS = 256;

export interface Expected {
  readonly table: Table;
  readonly features: FeaturePlan;
  readonly head: Head;
  readonly rows: Int32Array;
  /** Row major: probabilities of the classes, or the predicted number. */
  readonly outputs: Float32Array;
}

/**
 * The largest difference of a probability; of a prediction relative to its own size or that of the
 * target's values (mean and deviation), since FP32 rounds it by that. Rows that lie far outside of
 * what was trained on: see USUAL_DEVIATIONS.
 * @throws INTERNAL when it is above MAX_ABS_DIFFERENCE or the file can't be run.
 */
export async function compareWithRuntime(onnx: Uint8Array, expected: Expected): Promise<number> {
  const session = await ort.InferenceSession.create(onnx, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  let most = 0;
  try {
    for (let start = 0; start < expected.rows.length; start += BATCH_ROWS) {
      const rows = expected.rows.subarray(start, start + BATCH_ROWS);
      const actual = await answers(session, expected, rows);
      const width = actual.length / rows.length;
      const sizes = rowSizes(expected, rows);
      for (const [index, value] of actual.entries()) {
        const wanted = expected.outputs[start * width + index] ?? Number.NaN;
        const rowSize = sizes[Math.floor(index / width)] ?? 1;
        // Both infinite: the answer is beyond FP32 in either runtime.
        if (value === wanted) continue;
        const difference = Math.abs(value - wanted) / unitOf(expected.head, rowSize, wanted);
        most = Math.max(most, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
      }
    }
  } finally {
    await session.release();
  }
  if (most <= MAX_ABS_DIFFERENCE) return most;
  throw new StatusError(
    Code.INTERNAL,
    `the exported ONNX file differs from the trained network by ${most}, more than ` +
      `${MAX_ABS_DIFFERENCE}: it is not published`,
  );
}

/** 1 for a row of usual features, else by how much its largest one is larger. */
function rowSizes({ table, features }: Expected, rows: Int32Array): readonly number[] {
  const encoded = encodeRows(table, features, rows);
  return Array.from(rows, (_, row) => {
    const own = encoded.subarray(row * features.width, (row + 1) * features.width);
    return own.reduce((most, value) => Math.max(most, Math.abs(value) / USUAL_DEVIATIONS), 1);
  });
}

/** What a difference counts relative to: FP32 rounds by a share of it. */
function unitOf(head: Head, rowSize: number, wanted: number): number {
  if (head.task === 'classification') return rowSize;
  const targetSize = head.scale.deviation + Math.abs(head.scale.mean);
  return Math.max(rowSize * targetSize, Math.abs(wanted));
}

async function answers(
  session: ort.InferenceSession,
  { table, features, head }: Expected,
  rows: Int32Array,
): Promise<Float32Array> {
  const values = rawInputs(table, features, rows);
  const feeds: Record<string, ort.Tensor> = {};
  for (const { name, shape } of inputSpecs(features)) {
    const value = values.get(name) ?? [];
    const dims = [rows.length, ...shape.slice(1)];
    feeds[name] =
      value instanceof Float32Array
        ? new ort.Tensor('float32', value, dims)
        : new ort.Tensor('string', value, dims);
  }
  const output = head.task === 'regression' ? PREDICTION_OUTPUT : PROBABILITIES_OUTPUT;
  const { [output]: answer } = await session.run(feeds, [output]);
  if (answer instanceof ort.Tensor && answer.data instanceof Float32Array) return answer.data;
  throw new StatusError(Code.INTERNAL, `the exported ONNX file gives no FP32 '${output}'`);
}
