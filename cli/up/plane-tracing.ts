// Spans of an I/O thread's calls, where they are wanted: the router begins traces, nodes take part
// in those that their callers have begun.
import type { Metrics } from '../../common/metrics.ts';
import type { CallTracer } from '../../common/tracing/call-tracer.ts';
import { ROUTER } from './plane.ts';
import { VERSION } from './version.ts';

export interface PlaneTracing {
  /** Undefined: no call is recorded. */
  readonly router: CallTracer | undefined;
  /** @param id of the node */
  node(id: string): CallTracer | undefined;
  close(): Promise<void>;
}

const NONE: PlaneTracing = { router: undefined, node: () => undefined, close: async () => {} };

export async function openPlaneTracing(
  { traceOtlp, traceSample }: { traceOtlp?: string | undefined; traceSample: number },
  metrics: Metrics,
): Promise<PlaneTracing> {
  if (traceOtlp === undefined) return NONE;
  const { openTracing } = await import('../../common/tracing/otlp.ts');
  const { tracer, close } = openTracing({
    ...{ url: traceOtlp, sampleRatio: traceSample, metrics, version: VERSION },
    random: Math.random,
  });
  return {
    router: tracer({ name: 'torus-router', instance: ROUTER, beginsTraces: true }),
    node: (id) => tracer({ name: 'torus-node', instance: id, beginsTraces: false }),
    close,
  };
}
