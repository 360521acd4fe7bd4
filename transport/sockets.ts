// A TCP listener that knows its connections, so that they can be counted and, at the end, cut:
// HTTP/2 servers only half-close, and a client with an open call would wait for its keepalive to
// notice.
import { createServer, type Socket } from 'node:net';
import { listenError } from './listen.ts';

/** Connections of one listener, unless told; further ones are closed at once. */
export const MAX_CONNECTIONS = 10_000;

export interface SocketListener {
  readonly port: number;
  /** Takes no more connections; the open ones stay. */
  close(): void;
  /** Resolves when every connection has gone. */
  gone(): Promise<void>;
  /** Cuts every connection at once. */
  cut(): void;
}

export interface SocketListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** For the message when the port is taken. */
  readonly portFlag: string | undefined;
  /** Bound with SO_REUSEPORT: other threads may listen on it too. */
  readonly isPortShared?: boolean | undefined;
  /** By default MAX_CONNECTIONS. */
  readonly maxConnections?: number | undefined;
  onConnection(socket: Socket): void;
  /** A connection above the limit was closed. */
  readonly onRefused?: (() => void) | undefined;
}

/**
 * Before a port is shared between threads: bound so, another process that shares its own would join
 * silently, and get half of the connections.
 * @throws as listenSockets when it can't be had alone. 0 is free in any case.
 */
export async function checkPortFree(
  host: string,
  port: number,
  portFlag: string | undefined,
): Promise<void> {
  if (port === 0) return;
  const onConnection = (socket: Socket): void => void socket.destroy();
  const listener = await listenSockets({ host, port, portFlag, onConnection });
  listener.cut();
}

/** @throws ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION as listenError says */
export async function listenSockets(options: SocketListenerOptions): Promise<SocketListener> {
  const { host, port } = options;
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    options.onConnection(socket);
  });
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  if (options.onRefused !== undefined) server.on('drop', options.onRefused);
  const reusePort = options.isPortShared ?? false;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(host, port, options.portFlag, cause)));
    server.listen({ host, port, reusePort }, resolve);
  });
  const bound = server.address();
  const cut = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: bound !== null && typeof bound === 'object' ? bound.port : port,
    close: () => server.close(),
    async gone() {
      await Promise.all(
        [...sockets].map((socket) => new Promise((done) => socket.once('close', done))),
      );
    },
    cut,
  };
}
