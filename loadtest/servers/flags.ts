// The flags of a server under test: [--transport NAME] [--cert FILE --key FILE] and positionals.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { TransportName } from './ours.ts';

export interface ServerFlags {
  /** PEM files, when it is to serve TLS. */
  readonly tlsFiles: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly transport: TransportName | undefined;
  readonly rest: readonly string[];
}

export function readServerFlags(): ServerFlags {
  const { values, positionals } = parseArgs({
    options: {
      cert: { type: 'string' },
      key: { type: 'string' },
      transport: { type: 'string' },
    },
    allowPositionals: true,
  });
  const { cert, key, transport } = values;
  if (transport !== undefined && transport !== 'torus' && transport !== 'grpcjs') {
    throw new Error('--transport is torus or grpcjs');
  }
  const tlsFiles =
    cert === undefined || key === undefined ? undefined : { certFile: cert, keyFile: key };
  return { tlsFiles, transport, rest: positionals };
}

/** The contents of those files. */
export function readTls({ tlsFiles }: ServerFlags) {
  if (tlsFiles === undefined) return undefined;
  const { certFile, keyFile } = tlsFiles;
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}
