// Accepts HTTP/2 connections, in plain text by prior knowledge or over TLS with ALPN, and runs each
// with a handler of its own. Ends without losing a call: drain() lets open streams run out.

import type { Socket } from 'node:net';
import { createServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { listenSockets } from '../../sockets.ts';
import { contextOf, type ServerPem, serverOptions } from '../../tls/tls-files.ts';
import { Connection } from '../connection/connection.ts';
import type { ConnectionOptions } from '../connection/connection-state.ts';
import type { ConnectionHandler } from '../connection/handler.ts';
import { type AcceptedReads, acceptedReads } from './accepted-reads.ts';
import { ConnectionSocket, type NowMs } from './connection-socket.ts';

export interface ServedHandler extends ConnectionHandler {
  /**
   * Comes once, before any other call.
   * @param wake to be called after sending outside of the handler's calls.
   */
  serve(connection: Connection, wake: () => void): void;
  /** So much of what was sent waits for the socket: beyond what the system takes in for a peer. */
  onUnsent?(unsentBytes: number): void;
  /** The socket is gone: nothing comes any more. */
  closed?(): void;
}

export interface ConnectionListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** For the message when the port is taken. */
  readonly portFlag: string | undefined;
  readonly tls?: ServerPem;
  readonly connection: ConnectionOptions;
  readonly nowMs: NowMs;
  /** Several threads may listen on the same port, the system shares connections out among them. */
  readonly isPortShared?: boolean;
  /** Open connections; further ones are closed at once, and told to onRefusedConnection(). */
  readonly maxConnections?: number;
  onRefusedConnection?(): void;
  /**
   * A TLS handshake took longer than the connection's handshakeMs, and was cut off: half a
   * connection costs as much as a whole one.
   */
  onLateHandshake?(): void;
  /** How sockets read; by default as this thread can. */
  readonly reads?: AcceptedReads;
  /** @param peer whose connection it is: 'ipv4:127.0.0.1:5000' */
  makeHandler(peer: string): ServedHandler;
}

export interface ConnectionListener {
  readonly port: number;
  /** Connections that are open. */
  readonly size: number;
  /** For handshakes from now on; open connections keep theirs. */
  setTls(tls: ServerPem): void;
  /** Takes no more connections; the open ones go on. */
  closePort(): void;
  /** Takes no more connections; resolves when those that are open have ended. */
  drain(): Promise<void>;
  /** Cuts everything at once. */
  cut(): void;
}

/** @throws as listenSockets(); INVALID certificates are OpenSSL's errors. */
export async function listenConnections(
  options: ConnectionListenerOptions,
): Promise<ConnectionListener> {
  const open = new Set<ConnectionSocket>();
  const reads = options.reads ?? (await acceptedReads());
  let isDraining = false;
  const run = (socket: Socket): void => {
    const handler = options.makeHandler(peerName(socket));
    const connection = new Connection(options.connection, handler, options.nowMs());
    handler.serve(connection, () => shell.wake());
    const shell = new ConnectionSocket(socket, connection, options.nowMs);
    shell.onUnsent = (unsentBytes) => handler.onUnsent?.(unsentBytes);
    reads.adopt(socket, (sizeBytes) => shell.read(sizeBytes));
    open.add(shell);
    // Its TLS handshake was under way when the drain began.
    if (isDraining) shell.drain();
    socket.once('close', () => {
      open.delete(shell);
      handler.closed?.();
    });
  };
  const secured = options.tls === undefined ? undefined : tlsServer(options.tls, options, run);
  const { host, port, portFlag } = options;
  const listener = await listenSockets({
    host,
    port,
    portFlag,
    isPortShared: options.isPortShared,
    maxConnections: options.maxConnections,
    onRefused: options.onRefusedConnection,
    onConnection: (socket) => {
      if (secured === undefined) run(socket);
      else secured.emit('connection', socket);
    },
  });
  return {
    port: listener.port,
    get size() {
      return open.size;
    },
    setTls: (tls) => void secured?.setSecureContext(contextOf(tls)),
    closePort: () => listener.close(),
    async drain() {
      isDraining = true;
      listener.close();
      for (const shell of open) shell.drain();
      await listener.gone();
    },
    cut: () => listener.cut(),
  };
}

/** As gRPC names peers. */
function peerName({ remoteAddress = '', remotePort = 0 }: Socket): string {
  if (!remoteAddress.includes(':')) return `ipv4:${remoteAddress}:${remotePort}`;
  return `ipv6:[${remoteAddress}]:${remotePort}`;
}

function tlsServer(
  tls: ServerPem,
  options: ConnectionListenerOptions,
  run: (socket: Socket) => void,
): TlsServer {
  const server = createServer({
    ...serverOptions(tls, options.connection.limits.handshakeMs),
    ALPNProtocols: ['h2'],
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    // Node tells of one that takes too long, and leaves it open.
    socket.destroy();
    if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') options.onLateHandshake?.();
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    // RFC 9113, 3.3: HTTP/2 over TLS is what ALPN has settled on.
    if (socket.alpnProtocol === 'h2') run(socket);
    else socket.destroy();
  });
  return server;
}
