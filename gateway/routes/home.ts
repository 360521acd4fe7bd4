// What a person who opens the address, or a program that wants to know the API, finds.
import type { FastifyInstance } from 'fastify';
import { describe, sendJson } from './rpc-route.ts';

const HOME = {
  name: 'torus',
  openapi: '/openapi.json',
  health: { live: '/v2/health/live', ready: '/v2/health/ready' },
  inference: {
    server: '/v2',
    model: '/v2/models/{model}',
    infer: '/v2/models/{model}/infer',
    index: '/v2/repository/index',
  },
  administration: {
    cluster: '/api/v1/cluster',
    models: '/api/v1/models',
    dataSets: '/api/v1/datasets',
    jobs: '/api/v1/jobs',
    uploads: '/api/v1/blobs',
  },
};

export function homeRoutes(app: FastifyInstance): void {
  const answer = { type: 'object' };
  app.get('/', {
    ...describe({ url: '/', tag: 'about', summary: 'Addresses of this API', answer }),
    handler: async (_request, reply) => sendJson(reply, HOME),
  });
  const url = '/openapi.json';
  app.get(url, {
    ...describe({ url, tag: 'about', summary: 'The OpenAPI document', answer }),
    handler: async (_request, reply) => sendJson(reply, app.swagger()),
  });
}
