// Unary gRPC calls at the least cost a call: one message that never changes, over a few HTTP/2
// connections. For open-loop load, where the generator must be faster than the server, and for
// crowds of connections. Calls sent before the same flush() leave on one connection, in one write.
import { connect } from 'node:net';
import { unavailable } from '../common/status.ts';
import { prebuiltBlock } from '../transport/http2/hpack/encoder.ts';
import { headerField } from '../transport/http2/hpack/header-field.ts';
import { LeanConnection } from './lean-connection.ts';
import { type CallTemplate, callTemplate } from './lean-frames.ts';

/** More than any server lets a connection have open. */
const CALLS_PER_CONNECTION = 4_096;
/** All connections read into it: what they read they look at at once. */
const READ_BUFFER = new Uint8Array(65_536);

export interface LeanOptions {
  readonly port: number;
  readonly path: string;
  /** With gRPC's prefix; as large as the peer's first windows at most. */
  readonly body: Uint8Array;
  readonly connections: number;
  /** Without an answer on each connection: a power of two. */
  readonly callsPerConnection?: number;
  /** Once for each call: its gRPC status, and when it was meant to be sent. */
  onAnswer(code: number, intendedMs: number): void;
}

export interface LeanClient {
  /** False: no connection has a free stream. It leaves with flush(). */
  send(intendedMs: number): boolean;
  flush(): void;
  close(): void;
}

/** @throws UNAVAILABLE when there is nobody at that port. */
export async function openLeanClient(options: LeanOptions): Promise<LeanClient> {
  const { port, path, body, connections } = options;
  const head = prebuiltBlock([
    headerField(':method', 'POST'),
    headerField(':scheme', 'http'),
    headerField(':path', path),
    headerField(':authority', `127.0.0.1:${port}`),
    headerField('content-type', 'application/grpc'),
    headerField('te', 'trailers'),
  ]);
  const call = callTemplate(head, body);
  const open = await Promise.all(
    Array.from({ length: connections }, () => openConnection(options, call)),
  );
  let turn = 0;
  const current = (): LeanConnection => open[turn % open.length] as LeanConnection;
  const toNext = (): void => {
    current().flush();
    turn += 1;
  };
  return {
    send(intendedMs) {
      for (let tries = 0; tries < open.length; tries += 1) {
        if (current().send(intendedMs)) return true;
        toNext();
      }
      return false;
    },
    flush: toNext,
    close() {
      for (const connection of open) connection.destroy();
    },
  };
}

function openConnection(options: LeanOptions, call: CallTemplate): Promise<LeanConnection> {
  const { port, onAnswer, callsPerConnection = CALLS_PER_CONNECTION } = options;
  return new Promise((resolve, reject) => {
    let connection: LeanConnection | undefined;
    const socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback(length) {
          connection?.received(READ_BUFFER, length);
          return true;
        },
      },
    });
    socket.once('error', (error) => reject(unavailable(`port ${port}: ${error.message}`)));
    socket.once('connect', () => {
      const one = new LeanConnection(socket, {
        call,
        capacity: callsPerConnection,
        onAnswer,
        onSettled: () => resolve(one),
        onFailed: (why) => reject(unavailable(`port ${port}: ${why}`)),
      });
      connection = one;
    });
  });
}
