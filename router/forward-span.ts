// The span of a call through the router: where it was sent, how often, and what came of it. What
// its caller sent goes on unchanged; only a call without a traceparent gets this span's, so that
// the node's span belongs to the same trace.
import type { Code } from '../common/status.ts';
import type { CallSpan, CallTracer, TracedCall } from '../common/tracing/call-tracer.ts';
import { TRACEPARENT } from '../common/tracing/traceparent.ts';
import type { Metadata } from '../transport/backend.ts';
import { type HeaderField, headerField } from '../transport/http2/hpack/header-field.ts';

export class ForwardSpan {
  readonly #span: CallSpan;
  #sends = 0;
  #node = '';
  #version = 0;

  /** Undefined: the call is not recorded. */
  static begin(tracer: CallTracer | undefined, call: TracedCall): ForwardSpan | undefined {
    const span = tracer?.begin(call);
    return span === undefined ? undefined : new ForwardSpan(span);
  }

  constructor(span: CallSpan) {
    this.#span = span;
  }

  /** What goes to the node. */
  metadata(sent: Metadata): Metadata {
    const { traceparentToAdd } = this.#span;
    return traceparentToAdd === undefined ? sent : [...sent, [TRACEPARENT, traceparentToAdd]];
  }

  /** The same, as header fields. */
  fields(sent: readonly HeaderField[]): readonly HeaderField[] {
    const { traceparentToAdd } = this.#span;
    return traceparentToAdd === undefined
      ? sent
      : [...sent, headerField(TRACEPARENT, traceparentToAdd)];
  }

  sent(node: string, version: number): void {
    this.#sends += 1;
    this.#node = node;
    this.#version = version;
    this.#span.event('sent', { 'torus.node.id': node });
  }

  /** @param model '' where the call never came to name one */
  ended(model: string, code: Code): void {
    if (model !== '') this.#span.set({ 'torus.model.name': model });
    if (this.#sends > 0) {
      this.#span.set({
        'torus.model.version': this.#version,
        'torus.node.id': this.#node,
        'torus.resends': this.#sends - 1,
      });
    }
    this.#span.end(code);
  }
}
