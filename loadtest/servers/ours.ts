// The transport that our own servers of the bench run on: the one place to change when the product
// moves to another. Each server prints it before 'listening', so that results say what they are of.
import { createLog } from '../../common/log.ts';
import type { Backend } from '../../transport/backend.ts';
import { serveGrpc } from '../../transport/grpcjs/server.ts';
import type { ServerFlags } from './flags.ts';

/** Also what `--transport` of the servers takes. */
export type TransportName = 'torus' | 'grpcjs';

/** What the product's node and router run on today. */
export const PRODUCT_TRANSPORT: TransportName = 'grpcjs';

export interface Served {
  readonly port: number;
  stop(): void;
}

/** Listens on a free port of loopback, and says on which transport. */
export async function serveBackend(backend: Backend, flags: ServerFlags): Promise<Served> {
  const log = createLog({ role: 'node', level: 'warn' });
  const { tlsFiles } = flags;
  const transport = flags.transport ?? PRODUCT_TRANSPORT;
  if (transport === 'torus') throw new Error('there is no transport/server yet');
  const listener = await serveGrpc({
    backend,
    host: '127.0.0.1',
    port: 0,
    log,
    ...(tlsFiles && { tls: tlsFiles }),
  });
  console.log(`transport ${transport}`);
  return listener;
}
