// Certificates and tokens as settings: what a server shows and asks for, and what it shows where it
// is a client itself. Files are named, never given: a command line is read by everybody.
import { z } from 'zod';
import type { ClientTls } from '../transport/client/dial.ts';
import { type BearerTokens, readTokens } from '../transport/tls/bearer-tokens.ts';
import type { ServerTls } from '../transport/tls/tls-files.ts';

const file = z.string().min(1, 'must be a file').optional();

/** What stands for the authorities that the machine knows, in place of a file. */
export const SYSTEM = 'system';

/** Of each process with listeners. */
export const listenerTls = { tlsCert: file, tlsKey: file, tlsClientCa: file };
/** Of each process that calls others. */
export const ownCertificate = { clientCert: file, clientKey: file };
export const authorities = file;
export const tokenFile = file;

type TextSettings = { readonly [key: string]: unknown };
type Flag = readonly [flag: string, text: string];

export const LISTENER_TLS_FLAGS: readonly Flag[] = [
  ['--tls-cert <file>', 'certificate of every listener, PEM; files that change are read again'],
  ['--tls-key <file>', 'its key, PEM'],
  ['--tls-client-ca <file>', 'who signs clients: others are refused (not asked for metrics)'],
];
export const OWN_CERTIFICATE_FLAGS: readonly Flag[] = [
  ['--client-cert <file>', 'certificate to show to servers that ask for one, PEM'],
  ['--client-key <file>', 'its key, PEM'],
];

/** '--router-ca', 'a router' */
export function authoritiesFlag(flag: string, whom: string): Flag {
  return [`${flag} <file>`, `call ${whom} over TLS: who signs it, or '${SYSTEM}'`];
}

/** What is wrong between settings that are right each for itself. */
export function tlsClashes(settings: TextSettings): readonly string[] {
  const has = (key: string): boolean => settings[key] !== undefined;
  const problems: string[] = [];
  if (has('tlsCert') !== has('tlsKey')) problems.push('--tls-cert and --tls-key: give both');
  if (has('tlsClientCa') && !has('tlsCert')) problems.push('--tls-client-ca: needs --tls-cert');
  if (has('clientCert') !== has('clientKey')) {
    problems.push('--client-cert and --client-key: give both');
  }
  return problems;
}

export interface ListenerTlsSettings {
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsClientCa?: string | undefined;
}

/** Undefined: plain text. */
export function serverTlsOf(settings: ListenerTlsSettings): ServerTls | undefined {
  const { tlsCert: certFile, tlsKey: keyFile, tlsClientCa: clientCaFile } = settings;
  if (certFile === undefined || keyFile === undefined) return undefined;
  return { certFile, keyFile, clientCaFile };
}

export interface OwnCertificateSettings {
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
}

/** @param ca of whom is called; undefined: plain text */
export function clientTlsOf(
  ca: string | undefined,
  { clientCert, clientKey }: OwnCertificateSettings,
  serverName?: string,
): ClientTls | undefined {
  if (ca === undefined) return undefined;
  return {
    ...(ca !== SYSTEM && { caFile: ca }),
    ...(clientCert !== undefined && { certFile: clientCert }),
    ...(clientKey !== undefined && { keyFile: clientKey }),
    ...(serverName !== undefined && { serverName }),
  };
}

/** @throws FAILED_PRECONDITION as readTokens() */
export function tokensOf(path: string | undefined): BearerTokens | undefined {
  return path === undefined ? undefined : readTokens(path);
}
