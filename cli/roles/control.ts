// torus control: the admin API and, of all control processes, one leader; and blobs over HTTP for
// uploads and for clusters without a shared store of files.
import { systemClock } from '../../common/clock.ts';
import { startControl } from '../../control/control.ts';
import { CLUSTER_TIMING } from '../../control/leader.ts';
import { serveGrpc } from '../../transport/grpcjs/server.ts';
import { formatAddress } from '../../transport/listen.ts';
import { mergeBackends } from '../../transport/service.ts';
import { readDescriptors } from '../../transport/services/descriptors.ts';
import { Health, healthService } from '../../transport/services/health.ts';
import { withReflection } from '../../transport/services/reflection.ts';
import { checkAdminListen } from '../../transport/tls/admin-listen.ts';
import { withTokens } from '../../transport/tls/bearer-tokens.ts';
import { serverTlsOf, tokensOf } from '../tls-settings.ts';
import { serveBlobPort } from '../up/blob-port.ts';
import { repositoryCalls } from './repository-calls.ts';
import type { RoleContext, RunningRole } from './role-process.ts';
import { processId } from './settings.ts';
import { openSharedStores } from './shared-stores.ts';

export async function runControl(context: RoleContext<'control'>): Promise<RunningRole> {
  const { settings, log, metrics, closers } = context;
  const { reachable, ...stores } = await openSharedStores(context);
  const { host, insecure: isInsecure, adminPort: port, blobPort } = settings;
  const control = await startControl({
    ...{ ...stores, log, metrics, clock: systemClock, dateMs: Date.now },
    id: settings.id ?? processId(),
    timing: CLUSTER_TIMING,
    planning: { registry: settings.registry, catalog: settings.catalog },
  });
  const tls = serverTlsOf(settings);
  const tokens = tokensOf(settings.adminTokenFile);
  checkAdminListen({ host, tls, tokens });
  const listen = { host, isInsecure, blobPort, tls: tls && { ...tls, log }, tokens };
  const blobs = await serveBlobPort(stores.blobs, listen);
  const health = new Health();
  health.set('', true);
  const services = mergeBackends([
    withTokens(control.backend, tokens),
    withTokens(repositoryCalls(control, log), tokens),
    healthService(health, log),
  ]);
  const admin = await serveGrpc({
    backend: withReflection(services, readDescriptors(), log),
    ...{ host, isInsecure, port, portFlag: '--admin-port', log, tls },
  });
  closers.add('blob listener', () => blobs.stop());
  // The lead goes to another one at once; then callers are told to go.
  closers.add('admin listener', async () => {
    health.set('', false);
    await control.stop();
    await admin.drain();
  });
  return {
    addresses: { admin: admin.address, blob: formatAddress(host, blobs.port) },
    waitingFor: () => reachable.waitingFor(),
  };
}
