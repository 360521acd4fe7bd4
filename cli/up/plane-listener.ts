// A gRPC listener of one I/O thread. Where there are several threads they share the port, each
// with its part of the limits.
import type { Log } from '../../common/log.ts';
import type { Metrics } from '../../common/metrics.ts';
import type { Backend } from '../../transport/backend.ts';
import type { RawBackend } from '../../transport/raw-call.ts';
import { listenerMetrics } from '../../transport/server/listener-metrics.ts';
import { type OwnGrpcListener, serveGrpc } from '../../transport/server/serve-grpc.ts';
import { limitsOfThread } from '../../transport/server/server-limits.ts';
import { checkPortFree } from '../../transport/sockets.ts';
import { connectionAge } from '../connection-age.ts';
import type { UpSettings } from './settings.ts';

export interface PlaneListenerOptions {
  readonly settings: Pick<
    UpSettings,
    'host' | 'isInsecure' | 'ioThreads' | 'maxConnectionAge' | 'tls'
  >;
  /** Whose it is: 'router', or a node's id. */
  readonly name: string;
  readonly backend: Backend;
  /** See ServeGrpcOptions. */
  readonly raw?: RawBackend | undefined;
  readonly port: number;
  readonly portFlag: string;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** The first thread's: nobody else may have the port. @throws as serveGrpc */
export async function openFirst(options: PlaneListenerOptions): Promise<OwnGrpcListener> {
  const { settings, port, portFlag } = options;
  if (settings.ioThreads > 1) await checkPortFree(settings.host, port, portFlag);
  return await openBeside(options);
}

/** Another thread's, on the port of the first. @throws as serveGrpc */
export async function openBeside(options: PlaneListenerOptions): Promise<OwnGrpcListener> {
  const { settings, name, backend, port, portFlag, metrics, log, raw } = options;
  const { host, isInsecure, ioThreads, maxConnectionAge, tls } = settings;
  const counts = listenerMetrics(metrics, name);
  const listener = await serveGrpc({
    ...{ backend, host, port, portFlag, isInsecure, log, tls },
    onLimit: counts.onLimit,
    isPortShared: ioThreads > 1,
    limits: { ...limitsOfThread(ioThreads), ...connectionAge(maxConnectionAge) },
    ...(raw && { raw }),
  });
  counts.watch(listener);
  return listener;
}
