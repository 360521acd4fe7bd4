// Opens a socket to a server, plain or TLS with ALPN (RFC 9113, 3.2 and 3.3), within a time that
// holds until the server has said its settings.
import { readFileSync } from 'node:fs';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket, type ConnectionOptions as TlsOptions } from 'node:tls';
import type { Clock } from '../../common/clock.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { READ_BUFFER } from '../read-memory.ts';

/** From the first packet to the server's SETTINGS; then the attempt has failed. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** Paths of PEM files, and the name to expect. */
export interface ClientTls {
  /** Who signs servers; the system's authorities when absent. */
  readonly caFile?: string;
  /** This client's own certificate, where the server asks for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Name to expect in the server's certificate when it isn't the address's host. */
  readonly serverName?: string;
}

export interface DialOptions {
  readonly host: string;
  readonly port: number;
  /** What renewedTls() gives, asked at each attempt; undefined: plain text. */
  readonly tls: (() => TlsOptions) | undefined;
  readonly timeoutMs: number;
}

export interface DialListener {
  /** It can be written to. */
  onSocket(socket: Socket): void;
  /** So many bytes have come, in READ_BUFFER, after onSocket(). */
  onRead(sizeBytes: number): void;
  /** There is none, or no settings came in time. */
  onFailed(why: string): void;
  /** After onSocket(): it is gone. */
  onClosed(why: string): void;
}

export interface Attempt {
  /** The server has said its settings: the time no longer counts. */
  settled(): void;
  /** Nothing is heard of it any more. */
  abort(): void;
}

/** @throws StatusError INVALID_ARGUMENT when it is not host:port, or [IPv6]:port */
export function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(found?.[3]);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined || port < 1 || port > 65_535) {
    throw invalidArgument(`address ${JSON.stringify(address)} is not host:port`);
  }
  return { host, port };
}

/** @throws StatusError FAILED_PRECONDITION when a file can't be read */
export function readTls(tls: ClientTls, host: string): TlsOptions {
  const { caFile, certFile, keyFile, serverName = host } = tls;
  return {
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.2',
    ...(caFile !== undefined && { ca: readPem('certificate of authorities', caFile) }),
    ...(certFile !== undefined && { cert: readPem('certificate', certFile) }),
    ...(keyFile !== undefined && { key: readPem('key', keyFile) }),
    // An IP address is no server name (RFC 6066, 3): it is looked for in the certificate itself.
    ...(isIP(serverName) === 0 && { servername: serverName }),
  };
}

/**
 * Reads the files at once, and again at each call: those that can't be read are as they were.
 * @throws as readTls(), here only
 */
export function renewedTls(tls: ClientTls, host: string): () => TlsOptions {
  let last = readTls(tls, host);
  return () => {
    try {
      last = readTls(tls, host);
    } catch {
      // Being replaced, maybe. Who dials with what is too old is told by the server.
    }
    return last;
  };
}

function readPem(what: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const text = `cannot read the TLS ${what} ${path}: ${cause}`;
    throw new StatusError(Code.FAILED_PRECONDITION, text, { cause });
  }
}

export function dial(options: DialOptions, clock: Clock, listener: DialListener): Attempt {
  const { host, port, tls, timeoutMs } = options;
  const onread = {
    buffer: READ_BUFFER,
    callback(sizeBytes: number): boolean {
      if (isGiven) listener.onRead(sizeBytes);
      else fail('the server spoke before the connection was made');
      return true;
    },
  };
  const target = { host, port, onread };
  const socket = tls === undefined ? connectTcp(target) : connectTls({ ...tls(), ...target });
  let isGiven = false;
  let isOver = false;
  let why = 'the server closed the connection';
  const fail = (text: string): void => {
    if (isOver) return;
    isOver = true;
    stopTimer();
    socket.destroy();
    listener.onFailed(text);
  };
  const stopTimer = clock.after(timeoutMs, () => fail(`no connection within ${timeoutMs} ms`));
  socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
    if (isOver) return;
    if (socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      fail('the server does not speak HTTP/2 over TLS (no h2 by ALPN)');
    } else {
      isGiven = true;
      listener.onSocket(socket);
    }
  });
  socket.on('error', (error) => {
    why = messageOf(error);
  });
  socket.once('close', () => {
    stopTimer();
    if (isOver) return;
    isOver = true;
    listener.onClosed(why);
  });
  return {
    settled: stopTimer,
    abort: () => {
      isOver = true;
      stopTimer();
      socket.destroy();
    },
  };
}

/** When a name has several addresses, the error of all holds those of each. */
function messageOf(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message;
  return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join(', ');
}
