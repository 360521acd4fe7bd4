// Servers of node:http2 for tests of the client: each stream is answered by a script, so that a
// server can be as wrong as it likes.
import '../../test/support/poison-reads.ts';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { type Code, StatusError } from '../../common/status.ts';

export const { HTTP2_HEADER_PATH } = http2.constants;
export const PATH = '/test.Service/Method';
export const GRPC_HEAD = { ':status': 200, 'content-type': 'application/grpc' } as const;

export type Script = (
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  session: http2.ServerHttp2Session,
  /** Names and values by turns, as they came. */
  rawHeaders: readonly string[],
) => void;

export interface ForeignServer {
  readonly address: string;
  readonly port: number;
  readonly sessions: ReadonlySet<http2.ServerHttp2Session>;
  /** Connections that have come, gone ones included. */
  accepted(): number;
  /** Ends its connections without a word: session.destroy() would reset their streams first. */
  cut(): void;
  stop(): Promise<void>;
}

export async function addressOf(server: Server): Promise<{ port: number; address: string }> {
  if (!server.listening) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const { port } = server.address() as AddressInfo;
  return { port, address: `127.0.0.1:${port}` };
}

export async function foreignServer(
  script: Script,
  options: http2.ServerOptions = {},
): Promise<ForeignServer> {
  const server = http2.createServer(options);
  const sessions = new Set<http2.ServerHttp2Session>();
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.once('close', () => sessions.delete(session));
  });
  server.on('stream', (stream, headers, _flags, rawHeaders) => {
    stream.on('error', () => {});
    const session = stream.session as http2.ServerHttp2Session | undefined;
    if (session !== undefined) script(stream, headers, session, rawHeaders);
  });
  const { port, address } = await addressOf(server);
  return {
    port,
    address,
    sessions,
    accepted: () => accepted,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async stop() {
      server.close();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A message as it goes on the wire. */
export function framed(message: Uint8Array | string, flag = 0): Buffer {
  const bytes = Buffer.from(message);
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Answers with these bytes and grpc-status 0. */
export function answer(stream: http2.ServerHttp2Stream, content: Uint8Array, head = {}): void {
  stream.respond({ ...GRPC_HEAD, ...head }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(content);
}

export async function failureOf(promise: Promise<unknown>, code?: Code): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    if (code === undefined || thrown.code === code) return thrown;
    throw new Error(`code ${thrown.code}, not ${code}: ${thrown.message}`);
  }
  throw new Error('the call succeeded');
}
