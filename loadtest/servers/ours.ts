// The transports that our own servers of the bench run on: the one place to change when the
// product gets another. Each server prints its own before 'listening', so that results say what
// they are of.
import { DEFAULT_BUSY_POLL_US } from '../../common/busy-poll.ts';
import { createLog } from '../../common/log.ts';
import { busyPoll } from '../../common/tick-end.ts';
import type { NodeConnection } from '../../router/upstreams.ts';
import type { Backend, MethodKind } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import type { GrpcListener } from '../../transport/grpc-listener.ts';
import { connect } from '../../transport/grpcjs/client.ts';
import { serveGrpc as serveGrpcJs } from '../../transport/grpcjs/server.ts';
import type { RawBackend } from '../../transport/raw-call.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';
import type { ServerFlags } from './flags.ts';

/** Also what `--transport` of the servers takes. */
export type TransportName = 'torus' | 'grpcjs';

export const DEFAULT_TRANSPORT: TransportName = 'torus';

/** Listens on a free port of loopback, and says on which transport. */
export async function serveBackend(
  backend: Backend,
  flags: ServerFlags,
  raw?: RawBackend,
): Promise<GrpcListener> {
  const log = createLog({ role: 'node', level: 'warn' });
  const { tlsFiles, transport = DEFAULT_TRANSPORT } = flags;
  const tls = tlsFiles && { tls: tlsFiles };
  const options = { backend, host: '127.0.0.1', port: 0, log, ...tls };
  console.log(`transport ${transport}`);
  busyPoll.setBudget(DEFAULT_BUSY_POLL_US);
  if (transport !== 'torus') return serveGrpcJs(options);
  return serveGrpc(raw === undefined ? options : { ...options, raw });
}

/** To a node, as the router reaches it. */
export function connectNode(
  address: string,
  methods: ReadonlyMap<string, MethodKind>,
  flags: ServerFlags,
): NodeConnection {
  const { transport = DEFAULT_TRANSPORT } = flags;
  if (transport === 'torus') return connectGrpc({ address, methods });
  const connection = connect({ address, methods });
  // Its close() lets open calls end.
  return { ...connection, drain: async () => connection.close() };
}
