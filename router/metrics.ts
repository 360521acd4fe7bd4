// What the router counts. Names of models become labels only while they are known to the cluster
// and within the limit of label sets: a flood of made-up names can't grow the process.
import { Counter, Gauge, Histogram } from 'prom-client';
import { LabelLimit, type Metrics, OTHER } from '../common/metrics.ts';
import { type Code, codeName } from '../common/status.ts';

const LATENCY_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

export interface RouterMetrics {
  /** A call for a model was answered. `isKnown`: the cluster knows the model. */
  answered(model: string, isKnown: boolean, code: Code): void;
  /** One attempt at a node ended, well or not. */
  upstream(durationMs: number): void;
  /** A call was sent again after its node was lost. */
  resent(): void;
}

export interface RouterGauges {
  waitingCalls(): number;
  waitingBytes(): number;
  knownNodes(): number;
}

export function routerMetrics(registry: Metrics, gauges: RouterGauges): RouterMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: 'torus_router_requests_total',
    help: 'Calls for a model, by gRPC status code',
    labelNames: ['model', 'code'],
    registers,
  });
  const latency = new Histogram({
    name: 'torus_router_upstream_seconds',
    help: 'From sending a call to a node until its answer',
    buckets: LATENCY_BUCKETS_SECONDS,
    registers,
  });
  const resends = new Counter({
    name: 'torus_router_resends_total',
    help: 'Calls sent again after the connection to their node was lost',
    registers,
  });
  gauge('torus_router_waiting_calls', 'Calls that wait for a copy', gauges.waitingCalls, registry);
  gauge('torus_router_waiting_bytes', 'Bytes of waiting calls', gauges.waitingBytes, registry);
  gauge('torus_router_nodes', 'Live nodes that the router knows', gauges.knownNodes, registry);
  const limit = new LabelLimit();
  return {
    answered(model, isKnown, code) {
      const name = codeName(code);
      requests.inc({ model: isKnown && limit.admits(model, name) ? model : OTHER, code: name });
    },
    upstream: (durationMs) => latency.observe(durationMs / 1000),
    resent: () => resends.inc(),
  };
}

function gauge(name: string, help: string, read: () => number, registry: Metrics): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
