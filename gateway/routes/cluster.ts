// The cluster as it is now.
import type { FastifyInstance } from 'fastify';
import type { Rpc } from '../rpc.ts';
import { addRpcRoute } from './rpc-route.ts';

export function clusterRoutes(app: FastifyInstance, rpc: Rpc): void {
  addRpcRoute(app, rpc, {
    method: 'GET',
    url: '/api/v1/cluster',
    tag: 'cluster',
    summary: 'Show nodes, models and their copies, and the leader',
    rpc: '/torus.v1.ClusterService/GetClusterStatus',
    request: () => ({}),
  });
}
