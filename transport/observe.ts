// The listener beside a role's own: /metrics for Prometheus, /livez (the process answers) and
// /readyz (it can do its work; what it waits for is listed).
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { statusOf } from '../common/status.ts';
import { checkListen, listenError } from './listen.ts';

const HEADERS_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 256;

export interface ObserveOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Allows plain text off loopback. */
  readonly insecure?: boolean;
  /** The page of /metrics, in Prometheus' text format. */
  metrics(): Promise<string>;
  /** What is not ready yet, by role; empty: ready. */
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
  const isInsecureAllowed = options.insecure ?? false;
  checkListen({ host: options.host, hasTls: false, isInsecureAllowed });
  const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS }, (request, response) => {
    answer(options, request, response).catch((thrown: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`${statusOf(thrown).message}\n`);
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
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
  if (path === '/metrics') {
    return send(200, await options.metrics(), 'text/plain; version=0.0.4; charset=utf-8');
  }
  if (path === '/livez') return send(200, 'ok\n');
  if (path === '/readyz') {
    const waiting = await options.waitingFor();
    return waiting.length === 0
      ? send(200, 'ok\n')
      : send(503, `waiting for:\n${waiting.join('\n')}\n`);
  }
  return send(404, 'here are /metrics, /livez and /readyz\n');
}
