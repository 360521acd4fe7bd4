// Spans of calls, as router and node make them; who makes none has no CallTracer at all, so that a
// call costs one look at an undefined. A caller's traceparent decides whether its call is recorded;
// a call without one is, by chance, the beginning of a trace, where traces may begin.
import { Code } from '../status.ts';
import { parseTraceparent, TRACEPARENT, TRACESTATE, type Traceparent } from './traceparent.ts';

/** As transport/backend.ts has it. */
type Metadata = readonly (readonly [key: string, value: string | Uint8Array])[];

export interface TracedCall {
  /** '/package.Service/Method' */
  readonly path: string;
  readonly metadata: Metadata;
}

export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface CallSpan {
  /**
   * To be put beside what the caller sent; undefined where it sent a traceparent of its own, which
   * is passed on as it is.
   */
  readonly traceparentToAdd: string | undefined;
  set(attributes: SpanAttributes): void;
  /** Something that happened at this moment. */
  event(name: string, attributes: SpanAttributes): void;
  /** Once; later ones are ignored. */
  end(code: Code): void;
}

export interface CallTracer {
  /** Undefined: the call is not recorded. Never throws. */
  begin(call: TracedCall): CallSpan | undefined;
}

/** What is known of a call that is to be recorded. */
export interface Recorded {
  /** The caller's span; undefined: a trace begins here. */
  readonly parent: Traceparent | undefined;
  /** '' where there is none. */
  readonly tracestate: string;
  /** The caller sent a traceparent, be it a wrong one. */
  readonly hasTraceparent: boolean;
}

/**
 * Whether a call is to be recorded; undefined: it is not.
 * @param ratio of the calls without a valid traceparent, 0 to 1
 * @param random gives numbers from 0 up to 1
 */
export function recordedCall(
  metadata: Metadata,
  ratio: number,
  random: () => number,
): Recorded | undefined {
  let traceparent: string | undefined;
  let tracestate = '';
  for (const [key, value] of metadata) {
    if (key === TRACEPARENT) traceparent = String(value);
    else if (key === TRACESTATE) tracestate = String(value);
  }
  const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent);
  const isRecorded = parent === undefined ? ratio > 0 && random() < ratio : parent.isSampled;
  if (!isRecorded) return undefined;
  const hasTraceparent = traceparent !== undefined;
  return { parent, tracestate: parent === undefined ? '' : tracestate, hasTraceparent };
}

/** gRPC's codes that are a server's fault (OpenTelemetry's conventions for spans of servers). */
const FAULTS: ReadonlySet<Code> = new Set([
  Code.UNKNOWN,
  Code.DEADLINE_EXCEEDED,
  Code.UNIMPLEMENTED,
  Code.INTERNAL,
  Code.UNAVAILABLE,
  Code.DATA_LOSS,
]);

export function isFault(code: Code): boolean {
  return FAULTS.has(code);
}
