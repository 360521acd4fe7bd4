// The span of an inference on a node: which model and version, in what batch, and how long each
// step took.
import type { Code } from '../../common/status.ts';
import type { CallSpan } from '../../common/tracing/call-tracer.ts';
import type { ServedSignature } from '../infer/signature.ts';
import type { RowOutputs } from '../loaded-model.ts';

const inUs = (ns: number): number => Math.round(ns / 1000);

/** Before the answer is given: what is told of the run is good only until then. */
export function recordRun(span: CallSpan, { rows, queueNs, timings }: RowOutputs): void {
  span.set({
    'torus.request.rows': rows,
    'torus.batch.rows': timings.batchRows,
    'torus.queue_us': inUs(queueNs),
    'torus.compute_input_us': inUs(timings.computeInputNs),
    'torus.compute_infer_us': inUs(timings.computeInferNs),
    'torus.compute_output_us': inUs(timings.computeOutputNs),
  });
}

/** @param signature undefined: no model was found */
export function endSpan(
  span: CallSpan,
  signature: Pick<ServedSignature, 'model' | 'version'> | undefined,
  code: Code,
): void {
  if (signature !== undefined) {
    const { model, version } = signature;
    span.set({ 'torus.model.name': model, 'torus.model.version': version });
  }
  span.end(code);
}
