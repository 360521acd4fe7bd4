// torus router: one address for the whole cluster. It follows the registry; while that is away, and
// when it starts without it, it goes by the routes in its data folder.
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '../../common/clock.ts';
import { busyPoll } from '../../common/tick-end.ts';
import { openRegistry } from '../../registry/open.ts';
import { openRouteFile } from '../../router/route-file.ts';
import { NODE_METHODS, startRouter } from '../../router/router.ts';
import { NODE_KEEPALIVE } from '../../router/upstreams.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { formatAddress } from '../../transport/listen.ts';
import { clientTlsOf, serverTlsOf } from '../tls-settings.ts';
import { lockDataFolder } from '../up/data-lock.ts';
import { openFirst } from '../up/plane-listener.ts';
import { openPlaneTracing } from '../up/plane-tracing.ts';
import { VERSION } from '../up/version.ts';
import { controlPeer } from './control-peer.ts';
import { connectRepository } from './repository-calls.ts';
import type { RoleContext, RunningRole } from './role-process.ts';

export async function runRouter(context: RoleContext<'router'>): Promise<RunningRole> {
  const { settings, log, metrics, closers } = context;
  busyPoll.setBudget(settings.busyPollUs);
  const lock = lockDataFolder(settings.data);
  closers.add('data folder', () => lock.release());
  const clock = systemClock;
  const registry = openRegistry(settings.registry, { clock, log });
  closers.add('registry', () => registry.close());
  const tracing = await openPlaneTracing(settings, metrics);
  closers.add('spans', () => tracing.close());
  const control =
    settings.control === undefined
      ? undefined
      : connectRepository(settings.control, controlPeer(settings));
  closers.add('connection to control', () => control?.close());
  const pause = (): Promise<void> => setImmediate();
  const routes = await openRouteFile({ folder: settings.data, clock, log, pause });
  closers.add('routes', () => routes.close());
  const nodeTls = clientTlsOf(settings.nodeCa, settings, settings.nodeServerName);
  const router = startRouter({
    ...{ registry, clock, log, metrics, routes, random: Math.random, version: VERSION },
    connect: (address) =>
      connectGrpc({ address, methods: NODE_METHODS, keepalive: NODE_KEEPALIVE, tls: nodeTls }),
    tracer: tracing.router,
    ...(control && { control: control.hooks }),
  });
  closers.add('router', () => router.stop());
  const { host, grpcPort: port, insecure: isInsecure, maxConnectionAge } = settings;
  const { backend, raw } = router;
  const listener = await openFirst({
    settings: { host, isInsecure, ioThreads: 1, maxConnectionAge, tls: serverTlsOf(settings) },
    ...{ name: 'router', backend, raw, port, portFlag: '--grpc-port', metrics, log },
  });
  closers.add('listener', async () => {
    router.retire();
    listener.closePort();
    await listener.drain();
    listener.stop();
  });
  return {
    addresses: { grpc: formatAddress(host, listener.port) },
    waitingFor: () => router.waitingFor(),
  };
}
