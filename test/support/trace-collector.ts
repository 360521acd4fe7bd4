// A collector of spans for tests: takes OTLP as JSON over HTTP on a free port, and keeps what came.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CollectedSpan {
  /** service.name of who made it. */
  readonly service: string;
  readonly instance: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** '' for the first of a trace. */
  readonly parentSpanId: string;
  readonly traceState: string;
  /** OTLP's: 0 unset, 1 OK, 2 error. */
  readonly status: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly events: readonly string[];
}

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
}
type Attributes = readonly { readonly key: string; readonly value: Value }[];

interface Exported {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Attributes };
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly name: string;
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly traceState?: string;
        readonly status: { readonly code: number };
        readonly attributes: Attributes;
        readonly events: readonly { readonly name: string }[];
      }[];
    }[];
  }[];
}

function valuesOf(attributes: Attributes): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue } }) => [
      key,
      stringValue ?? doubleValue ?? Number(intValue),
    ]),
  );
}

function spansOf({ resourceSpans }: Exported): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const about = valuesOf(resource.attributes);
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        service: String(about['service.name']),
        instance: String(about['service.instance.id']),
        name: span.name,
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        traceState: span.traceState ?? '',
        status: span.status.code,
        attributes: valuesOf(span.attributes),
        events: span.events.map(({ name }) => name),
      })),
    );
  });
}

/** @param answer HTTP status of each answer; undefined: none is ever given */
export async function startTraceCollector(answer: number | undefined = 200) {
  const spans: CollectedSpan[] = [];
  const paths: string[] = [];
  let onArrival = (): void => undefined;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      paths.push(request.url ?? '');
      spans.push(...spansOf(JSON.parse(Buffer.concat(chunks).toString()) as Exported));
      onArrival();
      if (answer !== undefined) response.writeHead(answer).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    address,
    url: `${address}/v1/traces`,
    spans,
    paths,
    /** Waits until the spans are as wanted. One such wait at a time. */
    async sees(isWanted: (spans: readonly CollectedSpan[]) => boolean): Promise<void> {
      while (!isWanted(spans)) {
        await new Promise<void>((resolve) => {
          onArrival = resolve;
        });
      }
    },
    stop: (): void => {
      server.close();
      server.closeAllConnections();
    },
  };
}
