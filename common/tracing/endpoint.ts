// Where a collector takes traces. Its address is given as OTEL_EXPORTER_OTLP_ENDPOINT is: what
// stands before the path of each kind of data (opentelemetry.io/docs/specs/otel/protocol/exporter).

const TRACES_PATH = '/v1/traces';

/** Undefined for what is no address over HTTP. */
export function tracesEndpoint(address: string): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return undefined;
  if (!url.pathname.endsWith(TRACES_PATH)) {
    url.pathname = `${url.pathname.replace(/\/$/, '')}${TRACES_PATH}`;
  }
  return url.href;
}
