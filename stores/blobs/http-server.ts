// Serves a blob store over HTTP: for uploads that stream through, and for nodes without a store of
// their own. Bodies flow both ways with backpressure; half an upload leaves nothing.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { systemClock } from '../../common/clock.ts';
import { answerBrokenConnection, httpServerOptions } from '../../common/http-limits.ts';
import { paced } from '../../common/paced.ts';
import {
  Code,
  codeName,
  hasCode,
  httpStatusOf,
  invalidArgument,
  notFound,
  StatusError,
  statusOf,
  unavailable,
} from '../../common/status.ts';
import type { BearerTokens } from '../../transport/tls/bearer-tokens.ts';
import { createWebServer, type WebTls } from '../../transport/tls/http-server.ts';
import { type BlobStore, MAX_LIST_BLOBS } from './blobs.ts';
import { EXPECTED_HEADER, MAX_BYTES_HEADER } from './http-wire.ts';
import { blobTooLarge, pastEnd } from './limits.ts';

/** Largest blob that is taken; more is answered 413 (RESOURCE_EXHAUSTED). */
export const DEFAULT_MAX_BLOB_BYTES = 64 * 1024 ** 3;
/** A download that is not read for so long is cut, and any connection that moves nothing. */
const IDLE_TIMEOUT_MS = 60_000;
/**
 * An upload must bring so many bytes, or end, in each such window of time; else 408. Longer than
 * the gateway's window, so that it is the gateway which tells its client.
 */
const UPLOAD_WINDOW_MS = 45_000;
const MIN_UPLOAD_WINDOW_BYTES = 64 * 1024;
/** A kept-alive connection without a request ends after this. */
const KEEP_ALIVE_TIMEOUT_MS = 5_000;
/** Open connections; one more is closed at once. */
const MAX_CONNECTIONS = 1_024;
/** Uploads at a time; one more gets 503. */
const MAX_CONCURRENT_UPLOADS = 64;

export interface ServeBlobsOptions {
  /** Default false: DELETE is PERMISSION_DENIED, since who reaches the port is anyone. */
  readonly allowsRemoval?: boolean;
  /** Default DEFAULT_MAX_BLOB_BYTES. */
  readonly maxBlobBytes?: number;
  /** Default IDLE_TIMEOUT_MS. */
  readonly idleTimeoutMs?: number;
  /** Default UPLOAD_WINDOW_MS. */
  readonly uploadWindowMs?: number;
  /** Default MAX_CONCURRENT_UPLOADS. */
  readonly maxConcurrentUploads?: number;
  /** Default HEADERS_TIMEOUT_MS of every listener. */
  readonly headersTimeoutMs?: number;
  readonly tls?: WebTls | undefined;
  /** A request has to bring one of them; undefined: none. */
  readonly tokens?: BearerTokens | undefined;
}

/** An HTTP server that is not listening yet. */
export function serveBlobs(store: BlobStore, options: ServeBlobsOptions = {}): Server {
  const { headersTimeoutMs, tls, tokens } = options;
  const limits = httpServerOptions(headersTimeoutMs === undefined ? {} : { headersTimeoutMs });
  const uploads = new Uploads(options.maxConcurrentUploads ?? MAX_CONCURRENT_UPLOADS);
  const server = createWebServer(limits, tls, (request, response) => {
    const answer = async (): Promise<void> => {
      tokens?.check(request.headers.authorization);
      await route(store, options, uploads, request, response);
    };
    answer().catch((thrown: unknown) => refuse(request, response, statusOf(thrown)));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  server.on('clientError', answerBrokenConnection);
  server.setTimeout(options.idleTimeoutMs ?? IDLE_TIMEOUT_MS, (socket) => socket.destroy());
  return server;
}

async function route(
  store: BlobStore,
  options: ServeBlobsOptions,
  uploads: Uploads,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://blobs');
  if (url === null) throw invalidArgument('the request names no path that can be read');
  const [, root, sha256, ...rest] = url.pathname.split('/');
  if (root !== 'blobs' || rest.length > 0) throw notFound('here is /blobs and /blobs/SHA256');
  const { method = 'GET' } = request;
  if (sha256 === undefined) {
    if (method === 'POST') {
      return await uploads.within(() => upload(store, options, request, response));
    }
    if (method === 'GET') return await list(store, url.searchParams, response);
  } else {
    if (method === 'GET' || method === 'HEAD') return await send(store, sha256, request, response);
    if (method === 'DELETE') {
      if (options.allowsRemoval !== true) {
        throw new StatusError(Code.PERMISSION_DENIED, 'blobs are not removed over this port');
      }
      await store.remove(sha256);
      response.writeHead(204).end();
      return;
    }
  }
  throw invalidArgument(`${method} is not for this path`);
}

class Uploads {
  readonly #maxConcurrent: number;
  #running = 0;

  constructor(maxConcurrent: number) {
    this.#maxConcurrent = maxConcurrent;
  }

  /** @throws UNAVAILABLE when as many as may are running */
  async within(work: () => Promise<void>): Promise<void> {
    if (this.#running >= this.#maxConcurrent) {
      throw unavailable(
        `${this.#running} uploads are running, which is the limit: try again later`,
      );
    }
    this.#running += 1;
    try {
      await work();
    } finally {
      this.#running -= 1;
    }
  }
}

async function upload(
  store: BlobStore,
  { maxBlobBytes = DEFAULT_MAX_BLOB_BYTES, uploadWindowMs = UPLOAD_WINDOW_MS }: ServeBlobsOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const maxBytes = Math.min(
    maxBlobBytes,
    wholeNumber(request.headers[MAX_BYTES_HEADER], maxBlobBytes),
  );
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw blobTooLarge(maxBytes);
  const expected = request.headers[EXPECTED_HEADER];
  const expectation = typeof expected === 'string' ? { expectedSha256: expected } : {};
  json(
    response,
    201,
    await store.write(whole(request, uploadWindowMs), { maxBytes, ...expectation }),
  );
}

/** A body that ends early is an error, not a shorter blob; one that is too slow is given up. */
async function* whole(request: IncomingMessage, windowMs: number): AsyncGenerator<Uint8Array> {
  const pace = { windowMs, minBytes: MIN_UPLOAD_WINDOW_BYTES };
  // The stream stays open when it is left: it is the connection that the answer goes out on.
  const chunks = request.iterator({ destroyOnReturn: false });
  try {
    yield* paced(chunks, pace, systemClock);
  } catch (cause) {
    if (hasCode(cause, Code.DEADLINE_EXCEEDED)) throw cause;
    throw unavailable(`the upload was cut: ${String(cause)}`);
  } finally {
    // Not waited for: behind a chunk that never comes it would wait for ever.
    chunks.return?.().catch(() => undefined);
  }
  if (!request.complete) throw unavailable('the upload was cut before its end');
}

async function list(store: BlobStore, query: URLSearchParams, response: ServerResponse) {
  const limit = wholeNumber(query.get('limit') ?? undefined, MAX_LIST_BLOBS);
  json(response, 200, { blobs: await store.list(query.get('after') ?? '', limit) });
}

async function send(
  store: BlobStore,
  sha256: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const info = await store.stat(sha256);
  if (info === undefined) throw notFound(`no blob has the SHA-256 '${sha256.slice(0, 64)}'`);
  const found = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const startByte = Number(found?.[1] ?? 0);
  if (startByte > info.sizeBytes) throw pastEnd(startByte, info.sizeBytes);
  const length = info.sizeBytes - startByte;
  const headers: Record<string, string | number> = {
    'content-type': 'application/octet-stream',
    'content-length': length,
    'accept-ranges': 'bytes',
  };
  if (found !== null) {
    headers['content-range'] = `bytes ${startByte}-${info.sizeBytes - 1}/${info.sizeBytes}`;
  }
  response.writeHead(found === null ? 200 : 206, headers);
  if (request.method === 'HEAD' || length === 0) return void response.end();
  await pipeline(Readable.from(store.read(sha256, { startByte })), response);
}

function wholeNumber(text: string | string[] | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text);
  throw invalidArgument(`'${String(text).slice(0, 40)}' must be a whole number`);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Here the time that was exceeded is the client's own, and what is exhausted is no quota. */
const STATUS: Readonly<Partial<Record<Code, number>>> = {
  [Code.RESOURCE_EXHAUSTED]: 413,
  [Code.DEADLINE_EXCEEDED]: 408,
};

function refuse(request: IncomingMessage, response: ServerResponse, error: StatusError): void {
  if (response.headersSent) return void response.destroy();
  const status = STATUS[error.code] ?? httpStatusOf(error.code);
  // What is left of the body is not read: the connection goes with this answer.
  if (!request.complete) response.setHeader('connection', 'close');
  json(response, status, { error: error.message, code: codeName(error.code) });
}
