// The same echo, served by our connection and by node:http2, over sockets of this machine: what is
// fuzzed is held against both. (In memory node's two ends can wait for each other without end.)
import { fork, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { EchoHandler } from '../../transport/http2/connection/echo-handler.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { ConnectionSocket } from '../../transport/http2/shell/connection-socket.ts';

const NO_OUTPUT: StdioOptions = ['ignore', 'ignore', 'ignore', 'ipc'];

export const nowMs = (): number => performance.now();
export const POOL = new BlockPool();

export interface EchoEnd {
  /** The client's end. */
  readonly socket: net.Socket;
  /** The server's process is no more: what it did not answer says nothing. */
  hasDied(): boolean;
  /** Ends both; what the server still held once the connection was gone, in words. */
  close(): Promise<string | undefined>;
}

interface EchoServer {
  readonly port: number;
  /** What is left of the connection that was made last. */
  left(): string | undefined;
  died(): boolean;
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // Whoever fuzzes ends without telling.
  server.unref();
  return (server.address() as net.AddressInfo).port;
}

async function ourServer(): Promise<EchoServer> {
  let latest: Connection | undefined;
  const server = net.createServer((socket) => {
    const handler = new EchoHandler();
    const connection = new Connection(connectionOptions(true, { pool: POOL }), handler, nowMs());
    handler.serve(connection);
    new ConnectionSocket(socket, connection, nowMs);
    latest = connection;
  });
  const left = (): string | undefined => {
    const [streams, bytes] = [latest?.openStreams ?? 0, latest?.heldBytes ?? 0];
    latest?.take();
    return streams > 0 ? `${streams} streams and ${bytes} bytes are left` : undefined;
  };
  return { port: await listen(server), left, died: () => false };
}

/** Started with the first connection, and again when it has died. */
async function nodeServer(): Promise<EchoServer> {
  const child = fork(new URL('./node-echo-child.ts', import.meta.url), { stdio: NO_OUTPUT });
  const [port] = (await once(child, 'message')) as [number];
  child.unref();
  child.channel?.unref();
  const died = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return { port, left: () => undefined, died };
}

let ours: Promise<EchoServer> | undefined;
let nodes: Promise<EchoServer> | undefined;

/** A connection to each: ours first. The servers are started with the first. */
export async function echoEnds(): Promise<readonly [ours: EchoEnd, nodes: EchoEnd]> {
  ours ??= ourServer();
  nodes ??= nodeServer();
  if ((await nodes).died()) nodes = nodeServer();
  return [await connect(await ours), await connectNodes(nodes)];
}

/** Its process may have died without our having heard of it. */
async function connectNodes(server: Promise<EchoServer>): Promise<EchoEnd> {
  try {
    return await connect(await server);
  } catch {
    nodes = nodeServer();
    return await connect(await nodes);
  }
}

async function connect(server: EchoServer): Promise<EchoEnd> {
  const socket = net.connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  return {
    socket,
    hasDied: () => server.died(),
    async close() {
      socket.on('error', () => {});
      if (!socket.destroyed) {
        socket.destroy();
        await once(socket, 'close');
      }
      for (let turns = 0; server.left() !== undefined && turns < 1_000; turns++) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      return server.left();
    },
  };
}
