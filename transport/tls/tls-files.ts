// A server's certificate, its key and who signs its clients, as PEM files that are renewed while it
// runs: changed files are read again and given to the listener, for handshakes from then on; open
// connections go on. Files that can't be used change nothing, and are told once.
import { readFileSync } from 'node:fs';
import { createSecureContext, type TlsOptions } from 'node:tls';
import type { Clock } from '../../common/clock.ts';
import type { Log } from '../../common/log.ts';
import { Code, failedPrecondition, StatusError } from '../../common/status.ts';

/** Paths of PEM files. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Who signs clients; given, a client without a certificate of theirs is refused. */
  readonly clientCaFile?: string | undefined;
}

/** All as PEM. */
export interface ServerPem {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

/** Files are looked at so often: by so much a renewed certificate is served later. */
export const LOOK_MS = 10_000;
const MIN_VERSION = 'TLSv1.2';

/**
 * @throws StatusError FAILED_PRECONDITION when a file can't be read, or is not what it should be
 */
export function readServerTls(tls: ServerTls): ServerPem {
  const cert = readPem('TLS certificate', tls.certFile);
  const key = readPem('TLS key', tls.keyFile);
  const pem =
    tls.clientCaFile === undefined
      ? { cert, key }
      : { cert, key, clientCa: readPem('client CA certificate', tls.clientCaFile) };
  try {
    createSecureContext(contextOf(pem));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const files = [tls.certFile, tls.keyFile, tls.clientCaFile].filter((one) => one !== undefined);
    throw failedPrecondition(`the TLS files ${files.join(', ')} do not go together: ${why}`);
  }
  return pem;
}

function readPem(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new StatusError(Code.FAILED_PRECONDITION, `cannot read the ${what} ${path}: ${cause}`, {
      cause,
    });
  }
}

/** For setSecureContext() of any server. */
export function contextOf({ cert, key, clientCa }: ServerPem) {
  return { cert, key, minVersion: MIN_VERSION, ...(clientCa && { ca: clientCa }) } as const;
}

/** For createServer() of node:tls and node:https. */
export function serverOptions(pem: ServerPem, handshakeTimeout: number): TlsOptions {
  const isMutual = pem.clientCa !== undefined;
  return {
    ...contextOf(pem),
    requestCert: isMutual,
    rejectUnauthorized: isMutual,
    handshakeTimeout,
  };
}

export interface TlsWatch {
  /** Now, whether the files have changed or not. @throws as readServerTls() */
  reload(): void;
  stop(): void;
}

export interface TlsWatchOptions {
  readonly tls: ServerTls;
  /** What was read of the files and is served. */
  readonly served: ServerPem;
  readonly clock: Clock;
  readonly log: Log;
  /** For handshakes from now on. */
  readonly use: (pem: ServerPem) => void;
}

export function watchServerTls({ tls, served, clock, log, use }: TlsWatchOptions): TlsWatch {
  let last = served;
  let told = '';
  const reload = (): void => {
    const next = readServerTls(tls);
    const isSame =
      next.cert === last.cert && next.key === last.key && next.clientCa === last.clientCa;
    told = '';
    if (isSame) return;
    use(next);
    last = next;
    log.info({ file: tls.certFile }, 'the TLS files have changed: new connections use them');
  };
  const look = (): void => {
    stop = clock.after(LOOK_MS, look);
    try {
      reload();
    } catch (error) {
      // Half of them may be new: the other half is looked for next time.
      const text = error instanceof Error ? error.message : String(error);
      if (text !== told) log.warn({ err: error }, 'the TLS files that were read last stay in use');
      told = text;
    }
  };
  let stop = clock.after(LOOK_MS, look);
  return { reload, stop: () => stop() };
}
