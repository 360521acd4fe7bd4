// torus gateway: REST in front of a router and control, which may come and go while it runs.
import { startGateway } from '../../gateway/gateway.ts';
import { GRPCInferenceServiceDefinition } from '../../proto/gen/inference/grpc_service.ts';
import { ClusterServiceService } from '../../proto/gen/torus/v1/cluster_service.ts';
import { DataSetServiceService } from '../../proto/gen/torus/v1/data_set_service.ts';
import { JobServiceService } from '../../proto/gen/torus/v1/job_service.ts';
import { ModelServiceService } from '../../proto/gen/torus/v1/model_service.ts';
import { httpBlobs } from '../../stores/blobs/http-client.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { Several } from '../../transport/client/several.ts';
import { methodsOf } from '../../transport/definition.ts';
import { pathsOf } from '../../transport/late-backend.ts';
import { formatAddress } from '../../transport/listen.ts';
import { clientTlsOf, serverTlsOf, tokensOf } from '../tls-settings.ts';
import { listed } from './addresses.ts';
import { controlPeer } from './control-peer.ts';
import type { RoleContext, RunningRole } from './role-process.ts';

const ADMIN_METHODS = new Map(
  [ModelServiceService, DataSetServiceService, JobServiceService, ClusterServiceService].flatMap(
    (service) => [...methodsOf(service)],
  ),
);

export async function runGateway(context: RoleContext<'gateway'>): Promise<RunningRole> {
  const { settings, log, metrics, closers } = context;
  const methods = pathsOf([GRPCInferenceServiceDefinition]);
  const tls = clientTlsOf(settings.routerCa, settings);
  const routers = listed(settings.router).map((address) => connectGrpc({ address, methods, tls }));
  const inference = new Several(routers);
  const peer = controlPeer(settings);
  const admin = connectGrpc({ address: settings.control, methods: ADMIN_METHODS, ...peer });
  const blobs = httpBlobs(settings.blobs, peer);
  closers.add('connections', async () => {
    for (const router of routers) router.close();
    admin.close();
    await blobs.close();
  });
  const { host, httpPort: port, insecure: isInsecure } = settings;
  const gateway = await startGateway({
    ...{ host, port, isInsecure, log, metrics, inference, admin, blobs },
    tls: serverTlsOf(settings),
    tokens: tokensOf(settings.adminTokenFile),
  });
  closers.add('gateway', () => gateway.stop());
  return { addresses: { http: formatAddress(host, gateway.port) }, waitingFor: () => [] };
}
