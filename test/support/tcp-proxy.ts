// A TCP proxy that can fall silent as a network does when a host vanishes: bytes stop, and nobody
// is told.
import { connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Nothing passes any more, in either direction; new connections are taken and left alone. */
  silence(): void;
  /** Cuts what is open; what comes from now on passes again. */
  restore(): void;
  end(): Promise<void>;
}

export async function tcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let isSilent = false;
  const follow = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    follow(near);
    if (isSilent) return;
    const far = connect(targetPort, '127.0.0.1');
    follow(far);
    const pass = (from: Socket, to: Socket): void => {
      from.on('data', (chunk) => {
        if (isSilent || to.write(chunk)) return;
        from.pause();
        to.once('drain', () => from.resume());
      });
      from.once('close', () => {
        if (!isSilent) to.destroy();
      });
    };
    pass(near, far);
    pass(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    silence() {
      isSilent = true;
    },
    restore() {
      isSilent = false;
      cut();
    },
    async end() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
