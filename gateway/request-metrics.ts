// What the gateway counts: requests by route and status, and how long they took.
import type { FastifyInstance } from 'fastify';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Metrics } from '../common/metrics.ts';
import { whenAnswered } from './answered.ts';

/** The client went away before it had its answer. */
const CLIENT_GONE = '499';
/** Routes are templates, so that their number is bounded; addresses without a route are one. */
const NO_ROUTE = 'none';

const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

export function countRequests(app: FastifyInstance, metrics: Metrics): void {
  const requests = new Counter({
    name: 'torus_gateway_requests_total',
    help: 'HTTP requests by route and status; 499: the client went away',
    labelNames: ['route', 'code'],
    registers: [metrics],
  });
  const duration = new Histogram({
    name: 'torus_gateway_request_duration_seconds',
    help: "From a request's header lines to the end of its answer",
    labelNames: ['route'],
    buckets: BUCKETS_S,
    registers: [metrics],
  });
  const inFlight = new Gauge({
    name: 'torus_gateway_requests_in_flight',
    help: 'HTTP requests that are not answered yet',
    registers: [metrics],
  });
  app.addHook('onRequest', async (request, reply) => {
    const startMs = performance.now();
    inFlight.inc();
    whenAnswered(reply, (isAnswered) => {
      const url = request.routeOptions.url ?? NO_ROUTE;
      const route = url === NO_ROUTE ? url : `${request.method} ${url}`;
      const code = isAnswered ? String(reply.raw.statusCode) : CLIENT_GONE;
      requests.inc({ route, code });
      duration.observe({ route }, (performance.now() - startMs) / 1000);
      inFlight.dec();
    });
  });
}
