// What every HTTP listener allows a connection before there is a request, and how it answers one
// whose request can't be read: in the JSON of all our errors, never in Node's own words.
import type { ServerOptions } from 'node:http';
import { Code, codeName } from './status.ts';

/** Header lines of a request together; above it 431. */
export const MAX_HEADER_BYTES = 16 * 1024;
/** Time to send the header lines, from the connection's begin; after it 408 and the end. */
export const HEADERS_TIMEOUT_MS = 10_000;
/**
 * A whole request must be in after this, else 408: the largest upload at 1.5 Mbit/s. It ends what
 * drips on where nobody reads it any more.
 */
export const REQUEST_TIMEOUT_MS = 12 * 3_600_000;
/** Node looks for connections past these times only so often; its own default is 30 s. */
const MAX_CHECK_INTERVAL_MS = 1_000;

export interface HttpTimes {
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
}

/** For node:http's createServer. */
export function httpServerOptions(times: HttpTimes = {}): ServerOptions {
  const headersTimeout = times.headersTimeoutMs ?? HEADERS_TIMEOUT_MS;
  return {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout,
    requestTimeout: times.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: Math.min(MAX_CHECK_INTERVAL_MS, headersTimeout),
  };
}

const ANSWERS: Readonly<Record<string, readonly [status: string, Code, string]>> = {
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    Code.RESOURCE_EXHAUSTED,
    `the header lines are larger than the limit of ${MAX_HEADER_BYTES} bytes`,
  ],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [
    '413 Content Too Large',
    Code.RESOURCE_EXHAUSTED,
    'the extensions of a chunk are larger than what is read',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: [
    '408 Request Timeout',
    Code.DEADLINE_EXCEEDED,
    'the request did not arrive in time: its header lines or its body came too slowly',
  ],
};

const NO_HTTP = ['400 Bad Request', Code.INVALID_ARGUMENT, 'this is no HTTP/1.1 request'] as const;

interface Connection {
  readonly writable: boolean;
  write(text: string): unknown;
  destroySoon(): void;
}

/** For 'clientError' of a server: answers where that is still possible, and ends the connection. */
export function answerBrokenConnection(
  cause: { readonly code?: string },
  connection: Connection,
): void {
  if (connection.writable && cause.code !== 'ECONNRESET') {
    const [status, code, error] = ANSWERS[cause.code ?? ''] ?? NO_HTTP;
    const body = JSON.stringify({ error, code: codeName(code) });
    connection.write(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
  connection.destroySoon();
}
