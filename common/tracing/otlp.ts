// Spans that go to a collector over HTTP (OTLP, JSON), in batches beside the calls. What waits is
// bounded: a collector that is slow, or is not there, costs spans, which are counted, and never a
// call. To be imported only where spans are wanted: it takes a while.
import {
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { Counter } from 'prom-client';
import type { Metrics } from '../metrics.ts';
import { type Code, codeName } from '../status.ts';
import {
  type CallSpan,
  type CallTracer,
  isFault,
  type Recorded,
  recordedCall,
  type SpanAttributes,
  type TracedCall,
} from './call-tracer.ts';
import { formatTraceparent } from './traceparent.ts';

/** Spans that wait to be sent; further ones are dropped, and counted. */
export const MAX_WAITING_SPANS = 4_096;
const MAX_BATCH_SPANS = 512;
const SEND_EVERY_MS = 1_000;
const SEND_TIMEOUT_MS = 5_000;
/** At the end what is left is given so long. */
const LAST_SEND_TIMEOUT_MS = 1_000;

export interface TracingOptions {
  /** Of the collector, with the path of its traces: endpointOf(). */
  readonly url: string;
  /** Of the calls that come without a traceparent, 0 to 1. */
  readonly sampleRatio: number;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly metrics: Metrics;
  /** Of this program. */
  readonly version: string;
}

export interface ServiceName {
  /** 'torus-router', 'torus-node' */
  readonly name: string;
  /** Which of several. */
  readonly instance: string;
  /** Whether calls without a traceparent are recorded here. */
  readonly beginsTraces: boolean;
}

export interface Tracing {
  tracer(service: ServiceName): CallTracer;
  /** Sends what is left, for a bounded time. Never throws. */
  close(): Promise<void>;
}

export function openTracing(options: TracingOptions): Tracing {
  const exporter = new OTLPTraceExporter({ url: options.url, timeoutMillis: SEND_TIMEOUT_MS });
  const queue = new SpanQueue(exporter, options.metrics);
  const providers: TracerProvider[] = [];
  return {
    tracer({ name, instance, beginsTraces }) {
      const resource = resourceFromAttributes({
        'service.name': name,
        'service.instance.id': instance,
        'service.version': options.version,
      });
      const provider = new TracerProvider({ resource, spanProcessors: [queue] });
      providers.push(provider);
      const ratio = beginsTraces ? options.sampleRatio : 0;
      return new OtlpTracer(provider.getTracer('torus'), ratio, options.random);
    },
    close: () => queue.shutdown(),
  };
}

class OtlpTracer implements CallTracer {
  readonly #tracer: Tracer;
  readonly #ratio: number;
  readonly #random: () => number;

  constructor(tracer: Tracer, ratio: number, random: () => number) {
    this.#tracer = tracer;
    this.#ratio = ratio;
    this.#random = random;
  }

  begin({ path, metadata }: TracedCall): CallSpan | undefined {
    const recorded = recordedCall(metadata, this.#ratio, this.#random);
    if (recorded === undefined) return undefined;
    const [service = '', method = ''] = path.slice(1).split('/');
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
    const options = { kind: SpanKind.SERVER, attributes };
    const span = this.#tracer.startSpan(path.slice(1), options, contextOf(recorded));
    return new OtlpSpan(span, recorded.hasTraceparent);
  }
}

function contextOf({ parent, tracestate }: Recorded) {
  if (parent === undefined) return ROOT_CONTEXT;
  const { traceId, spanId } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true },
    ...(tracestate !== '' && { traceState: createTraceState(tracestate) }),
  });
}

class OtlpSpan implements CallSpan {
  readonly traceparentToAdd: string | undefined;
  readonly #span: Span;

  constructor(span: Span, hasTraceparent: boolean) {
    const { traceId, spanId } = span.spanContext();
    this.traceparentToAdd = hasTraceparent
      ? undefined
      : formatTraceparent({ traceId, spanId, isSampled: true });
    this.#span = span;
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  event(name: string, attributes: SpanAttributes): void {
    this.#span.addEvent(name, attributes);
  }

  end(code: Code): void {
    if (!this.#span.isRecording()) return;
    this.#span.setAttribute('rpc.grpc.status_code', code);
    if (isFault(code)) {
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: codeName(code) });
    }
    this.#span.end();
  }
}

/** The library's batches, behind a bound that counts what it drops. */
class SpanQueue implements SpanProcessor {
  readonly #batches: BatchSpanProcessor;
  readonly #counts = { exported: 0, failed: 0, dropped: 0 };
  #waiting = 0;

  constructor(exporter: SpanExporter, metrics: Metrics) {
    this.#batches = new BatchSpanProcessor({
      exporter: this.#counting(exporter),
      maxQueueSize: MAX_WAITING_SPANS,
      maxExportBatchSize: MAX_BATCH_SPANS,
      scheduledDelayMillis: SEND_EVERY_MS,
      exportTimeoutMillis: 2 * SEND_TIMEOUT_MS,
    });
    const counts = this.#counts;
    new Counter({
      name: 'torus_trace_spans_total',
      help: 'Spans by what became of them: exported, failed (the collector), dropped (too many)',
      labelNames: ['result'],
      registers: [metrics],
      collect() {
        this.reset();
        for (const [result, count] of Object.entries(counts)) this.inc({ result }, count);
      },
    });
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= MAX_WAITING_SPANS) {
      this.#counts.dropped += 1;
      return;
    }
    this.#waiting += 1;
    this.#batches.onEnd(span);
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush();
  }

  async shutdown(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, LAST_SEND_TIMEOUT_MS);
    await Promise.race([this.#batches.shutdown().catch(() => undefined), late.promise]);
    clearTimeout(timer);
  }

  #counting(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans: ReadableSpan[], done: (result: ExportResult) => void) => {
        this.#waiting -= spans.length;
        exporter.export(spans, (result) => {
          const isSent = result.code === ExportResultCode.SUCCESS;
          this.#counts[isSent ? 'exported' : 'failed'] += spans.length;
          done(result);
        });
      },
      shutdown: () => exporter.shutdown(),
    };
  }
}
