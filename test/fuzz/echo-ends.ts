// The same echo, served by our connection and by node:http2, over sockets of this machine: what is
// fuzzed is held against both. (In memory node's two ends can wait for each other without end.)
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { EchoHandler } from '../../transport/http2/connection/echo-handler.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { BlockPool } from '../../transport/http2/frames/output.ts';
import { ConnectionSocket } from '../../transport/http2/shell/connection-socket.ts';

export const nowMs = (): number => performance.now();
export const POOL = new BlockPool();

export interface EchoEnd {
  /** The client's end. */
  readonly socket: net.Socket;
  /** Ends both; what the server still held once the connection was gone, in words. */
  close(): Promise<string | undefined>;
}

interface EchoServer {
  readonly port: number;
  /** What is left of the connection that was made last. */
  left(): string | undefined;
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A target's thread and a test's process end without telling.
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
  return { port: await listen(server), left };
}

async function nodeServer(): Promise<EchoServer> {
  const server = http2.createServer();
  server.on('sessionError', () => {});
  server.on('stream', answer);
  return { port: await listen(server as unknown as net.Server), left: () => undefined };
}

/** What EchoHandler does. */
function answer(stream: http2.ServerHttp2Stream): void {
  stream.on('error', () => {});
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  const head = { ':status': 200, 'content-type': 'application/grpc' };
  stream.respond(head, { waitForTrailers: true });
  if (stream.endAfterHeaders) stream.end('hello');
  else stream.pipe(stream);
}

let servers: Promise<readonly [ours: EchoServer, nodes: EchoServer]> | undefined;

/** A connection to each: ours first. The servers are started with the first. */
export async function echoEnds(): Promise<readonly [ours: EchoEnd, nodes: EchoEnd]> {
  servers ??= Promise.all([ourServer(), nodeServer()]);
  const [ours, nodes] = await servers;
  return [await connect(ours), await connect(nodes)];
}

async function connect(server: EchoServer): Promise<EchoEnd> {
  const socket = net.connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  return {
    socket,
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
