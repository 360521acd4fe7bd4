// The listener beside a role's own: /metrics for Prometheus, /livez (its threads answer) and
// /readyz (it can do its work; what it waits for is listed).
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../common/clock.ts';
import { answerBrokenConnection, httpServerOptions } from '../common/http-limits.ts';
import { statusOf } from '../common/status.ts';
import { checkListen, listenError } from './listen.ts';
import { createWebServer, type WebTls } from './tls/http-server.ts';

/** Time to send the header lines; after it 408 and the connection ends. */
const HEADERS_TIMEOUT_MS = 5_000;
/** Time to send a whole request, which has no body; after it 408. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Without a byte in either direction a connection ends: also one that does not read its page. */
const IDLE_TIMEOUT_MS = 75_000;
/** A kept-alive connection without a request ends after this; scrapes come more often. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
/** Open connections; one more is closed at once. */
const MAX_CONNECTIONS = 256;
/** A process whose threads take longer to say how they are is not live: start it anew. */
export const ANSWER_TIMEOUT_MS = 5_000;
const LATE = `a thread of this process did not answer within ${ANSWER_TIMEOUT_MS} ms\n`;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface ObserveOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Allows plain text off loopback. */
  readonly isInsecure?: boolean;
  /** Its clients, probes and scrapers, are asked for no certificate. */
  readonly tls?: WebTls | undefined;
  readonly clock?: Clock;
  /** HEADERS_TIMEOUT_MS when absent. */
  readonly headersTimeoutMs?: number;
  /** The page of /metrics, in Prometheus' text format. */
  metrics(): Promise<string>;
  /** What is not ready yet, by role; empty: ready. All threads that serve are asked. */
  waitingFor(): Promise<readonly string[]>;
}

export interface ObserveServer {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * @throws FAILED_PRECONDITION off loopback unless insecure, ALREADY_EXISTS when the port is taken.
 */
export async function serveObserve(options: ObserveOptions): Promise<ObserveServer> {
  const isInsecureAllowed = options.isInsecure ?? false;
  checkListen({ host: options.host, hasTls: options.tls !== undefined, isInsecureAllowed });
  const limits = httpServerOptions({
    headersTimeoutMs: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
  });
  const tls = options.tls && { ...options.tls, clientCaFile: undefined };
  const server = createWebServer(limits, tls, (request, response) => {
    answer(options, request, response).catch((thrown: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`${statusOf(thrown).message}\n`);
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
  server.setTimeout(IDLE_TIMEOUT_MS, (socket) => socket.destroy());
  server.on('clientError', answerBrokenConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(listenError(options.host, options.port, '--metrics-port', cause));
    });
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  options: ObserveOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const send = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(status, { 'content-type': type });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'only GET\n');
  const path = (request.url ?? '/').split('?')[0];
  const { clock = systemClock } = options;
  if (path === '/metrics') {
    const page = await inTime(clock, options.metrics());
    return page === undefined ? send(503, LATE) : send(200, page, METRICS_TYPE);
  }
  if (path === '/livez' || path === '/readyz') {
    const waiting = await inTime(clock, options.waitingFor());
    if (waiting === undefined) return send(503, LATE);
    if (path === '/livez' || waiting.length === 0) return send(200, 'ok\n');
    return send(503, `waiting for:\n${waiting.join('\n')}\n`);
  }
  return send(404, 'here are /metrics, /livez and /readyz\n');
}

/** Undefined: it took longer than ANSWER_TIMEOUT_MS. */
function inTime<T>(clock: Clock, answer: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const cancel = clock.after(ANSWER_TIMEOUT_MS, () => late.resolve(undefined));
  return Promise.race([answer, late.promise]).finally(cancel);
}
