// The admin API's generated definitions (torus/v1), mounted as a Backend and carried by the
// listener: our typed client and ts-proto's own grpc-js client get the same.
import { credentials } from '@grpc/grpc-js';
import test from 'ava';
import { createLog } from '../common/log.ts';
import { Code, notFound, StatusError } from '../common/status.ts';
import {
  ClusterServiceClient,
  ClusterServiceService,
  ClusterStatus,
} from '../proto/gen/torus/v1/cluster_service.ts';
import { clientOf, serveDefinition } from './definition.ts';
import { connect } from './grpcjs/client.ts';
import { serveGrpc } from './grpcjs/server.ts';

const log = createLog({ role: 'test', level: 'silent' });
const status = (leaderEpoch: bigint): ClusterStatus =>
  ClusterStatus.fromPartial({ leaderId: 'control-1', leaderEpoch });

const cluster = serveDefinition(
  ClusterServiceService,
  {
    getClusterStatus: (_, { metadata }) => {
      if (metadata.some(([key]) => key === 'x-fail')) throw notFound('no cluster');
      return status(2n ** 60n);
    },
    async *watchClusterStatus() {
      for (const epoch of [1n, 2n, 3n]) yield status(epoch);
    },
  },
  log,
);

test('torus/v1 over the wire: our typed client', async (t) => {
  const server = await serveGrpc({ backend: cluster, host: '127.0.0.1', port: 0, log });
  const connection = connect({ address: server.address, methods: cluster.methods });
  const client = clientOf(ClusterServiceService, connection);
  t.is((await client.getClusterStatus({})).leaderEpoch, 2n ** 60n);
  const epochs: bigint[] = [];
  for await (const { leaderEpoch } of client.watchClusterStatus({})) epochs.push(leaderEpoch);
  t.deepEqual(epochs, [1n, 2n, 3n]);
  const failed = client.getClusterStatus({}, { metadata: [['x-fail', '1']] });
  t.is((await t.throwsAsync(failed, { instanceOf: StatusError }))?.code, Code.NOT_FOUND);
  connection.close();
  server.stop();
});

test("torus/v1 over the wire: ts-proto's own client", async (t) => {
  const server = await serveGrpc({ backend: cluster, host: '127.0.0.1', port: 0, log });
  const client = new ClusterServiceClient(server.address, credentials.createInsecure());
  const told = await new Promise<ClusterStatus>((resolve, reject) => {
    client.getClusterStatus({}, (error, value) => (error ? reject(error) : resolve(value)));
  });
  t.is(told.leaderId, 'control-1');
  const watched: AsyncIterable<ClusterStatus> = client.watchClusterStatus({});
  const epochs: bigint[] = [];
  for await (const { leaderEpoch } of watched) epochs.push(leaderEpoch);
  t.deepEqual(epochs, [1n, 2n, 3n]);
  client.close();
  server.stop();
});
