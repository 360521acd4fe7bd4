// Unary gRPC calls at the least cost a call: one message that never changes, over HTTP/2
// connections of our own, straight on their frames. For open-loop load, where the generator must
// be faster than the server. Looks at grpc-status and whether an answer holds anything.
import { once } from 'node:events';
import { connect } from 'node:net';
import { unavailable } from '../common/status.ts';
import { Connection } from '../transport/http2/connection/connection.ts';
import type { ConnectionHandler } from '../transport/http2/connection/handler.ts';
import { DEFAULT_LIMITS } from '../transport/http2/connection/limits.ts';
import { connectionOptions } from '../transport/http2/connection/options.ts';
import type { Stream } from '../transport/http2/connection/stream.ts';
import { prebuiltBlock } from '../transport/http2/hpack/encoder.ts';
import { headerField } from '../transport/http2/hpack/header-field.ts';
import type { HeaderList } from '../transport/http2/hpack/header-list.ts';
import { ConnectionSocket } from '../transport/http2/shell/connection-socket.ts';

const CODE_UNAVAILABLE = 14;
const CODE_UNKNOWN = 2;
const PING_BYTES = 8;
/** We ask more often than any server may ask us. */
const LIMITS = { ...DEFAULT_LIMITS, idleMs: Number.POSITIVE_INFINITY };

export interface LeanOptions {
  readonly port: number;
  readonly path: string;
  /** With gRPC's prefix. */
  readonly body: Uint8Array;
  readonly connections: number;
  /** Once for each call: its gRPC status, and when it was meant to be sent. */
  onAnswer(code: number, intendedMs: number): void;
}

export interface LeanClient {
  /** False: no connection has a free stream. It leaves with flush(). */
  send(intendedMs: number): boolean;
  flush(): void;
  close(): void;
}

/** A call under way: the stream's context. */
interface Sent {
  readonly intendedMs: number;
  receivedBytes: number;
}

function statusOfTrailers(headers: HeaderList): number {
  headers.note ??= Number(headers.fields.find(({ name }) => name === 'grpc-status')?.value);
  return Number.isNaN(headers.note) ? CODE_UNKNOWN : (headers.note as number);
}

class LeanHandler implements ConnectionHandler {
  readonly #onAnswer: LeanOptions['onAnswer'];
  /** The peer has told its limits: an answer to our ping comes behind them. */
  readonly isSettled = Promise.withResolvers<void>();
  connection: Connection | undefined;

  constructor(onAnswer: LeanOptions['onAnswer']) {
    this.#onAnswer = onAnswer;
  }

  onHeaders(stream: Stream, headers: HeaderList, isEnd: boolean): void {
    if (isEnd) this.onTrailers(stream, headers);
  }
  onData(stream: Stream, _bytes: Uint8Array, start: number, end: number): void {
    (stream.context as Sent).receivedBytes += end - start;
    this.connection?.consume(stream, end - start);
  }
  onTrailers(stream: Stream, headers: HeaderList): void {
    const sent = stream.context as Sent;
    const code = statusOfTrailers(headers);
    this.#onAnswer(code === 0 && sent.receivedBytes === 0 ? CODE_UNKNOWN : code, sent.intendedMs);
  }
  onReset(stream: Stream): void {
    this.#onAnswer(CODE_UNAVAILABLE, (stream.context as Sent).intendedMs);
  }
  onDone(): void {}
  onWritable(): void {}
  onOpenable(): void {}
  onGoaway(): void {}
  onPong(): void {
    this.isSettled.resolve();
  }
  onLimit(): void {}
  onFailed(_code: number, why: string): void {
    this.isSettled.reject(unavailable(why));
  }
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
  const open = await Promise.all(
    Array.from({ length: connections }, () => openConnection(port, options.onAnswer)),
  );
  let turn = 0;
  return {
    send(intendedMs) {
      for (let tries = 0; tries < open.length; tries += 1) {
        const one = open[turn++ % open.length];
        const stream = one?.connection.open(head, false);
        if (one === undefined || stream === undefined) continue;
        stream.context = { intendedMs, receivedBytes: 0 } satisfies Sent;
        one.connection.sendData(stream, body, true);
        one.isTouched = true;
        return true;
      }
      return false;
    },
    flush() {
      for (const one of open) {
        if (one.isTouched) one.shell.flush();
        one.isTouched = false;
      }
    },
    close() {
      for (const { shell } of open) shell.destroy();
    },
  };
}

async function openConnection(port: number, onAnswer: LeanOptions['onAnswer']) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  try {
    await once(socket, 'connect');
  } catch (thrown) {
    throw unavailable(`nobody at port ${port}: ${thrown}`);
  }
  const nowMs = (): number => performance.now();
  const handler = new LeanHandler(onAnswer);
  const connection = new Connection(connectionOptions(false, { limits: LIMITS }), handler, nowMs());
  handler.connection = connection;
  connection.ping(new Uint8Array(PING_BYTES));
  const shell = new ConnectionSocket(socket, connection, nowMs);
  await handler.isSettled.promise;
  return { connection, shell, isTouched: false };
}
