// A server of HTTP/1.1, in plain text or over TLS; its certificate is renewed while it runs.
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import {
  contextOf,
  readServerTls,
  type ServerPem,
  type ServerTls,
  serverOptions,
  watchServerTls,
} from './tls-files.ts';

/** From the connection to the end of its TLS handshake; then it is cut. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface WebTls extends ServerTls {
  readonly log: Log;
  readonly clock?: Clock;
}

/** Not listening yet. @param tls undefined: plain text. @throws as readServerTls() */
export function createWebServer(
  limits: ServerOptions,
  tls: WebTls | undefined,
  onRequest: RequestListener,
): Server {
  if (tls === undefined) return createServer(limits, onRequest);
  const { log, clock = systemClock } = tls;
  const served = readServerTls(tls);
  const secured = { ...limits, ...serverOptions(served, HANDSHAKE_TIMEOUT_MS) };
  const server = createSecureServer(secured, onRequest);
  // Whatever went wrong, there is nobody that an answer could be written to.
  server.on('tlsClientError', (_error, socket: TLSSocket) => void socket.destroy());
  const use = (pem: ServerPem): void => server.setSecureContext(contextOf(pem));
  const watch = watchServerTls({ tls, served, clock, log, use });
  server.once('close', () => watch.stop());
  return server;
}
