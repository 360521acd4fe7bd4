// What the router counts. Names of models become labels only while they are known to the cluster
// and within the limit of label sets: a flood of made-up names can't grow the process. Calls are
// counted in plain numbers, which prom-client is given when /metrics is asked.
import { Counter, Gauge } from 'prom-client';
import { Buckets, FilledHistogram } from '../common/histogram.ts';
import { LabelLimit, type Metrics, OTHER } from '../common/metrics.ts';
import { Code, codeName } from '../common/status.ts';

const CODES = Object.keys(Code).length;
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

export function routerMetrics(
  registry: Metrics,
  gauges: RouterGauges,
  limit = new LabelLimit(),
): RouterMetrics {
  const registers = [registry];
  const answers = new Answers(limit);
  new Counter({
    name: 'torus_router_requests_total',
    help: 'Calls for a model, by gRPC status code',
    labelNames: ['model', 'code'],
    registers,
    collect() {
      this.reset();
      answers.each((model, code, count) => this.inc({ model, code }, count));
    },
  });
  const latency = new Buckets(LATENCY_BUCKETS_SECONDS);
  registry.registerMetric(
    new FilledHistogram(
      'torus_router_upstream_seconds',
      'From sending a call to a node until its answer',
      [],
      () => [{ labels: {}, buckets: latency }],
    ),
  );
  const resends = new Counter({
    name: 'torus_router_resends_total',
    help: 'Calls sent again after the connection to their node was lost',
    registers,
  });
  gauge('torus_router_waiting_calls', 'Calls that wait for a copy', gauges.waitingCalls, registry);
  gauge('torus_router_waiting_bytes', 'Bytes of waiting calls', gauges.waitingBytes, registry);
  const nodes = 'Live nodes that the router knows';
  gauge('torus_router_nodes', nodes, gauges.knownNodes, registry, 'max');
  return {
    answered: (model, isKnown, code) => answers.add(isKnown ? model : OTHER, code),
    upstream: (durationMs) => latency.observe(durationMs / 1000),
    resent: () => resends.inc(),
  };
}

/** By model, then code. */
class Answers {
  readonly #limit: LabelLimit;
  readonly #byModel = new Map<string, Float64Array>();
  /** Of the call before: most often the next is for the same model. */
  #lastModel = '';
  #lastCounts: Float64Array = new Float64Array(CODES);

  constructor(limit: LabelLimit) {
    this.#limit = limit;
  }

  add(model: string, code: Code): void {
    if (model !== this.#lastModel) {
      this.#lastCounts = this.#byModel.get(model) ?? new Float64Array(CODES);
      this.#lastModel = model;
    }
    const count = this.#lastCounts[code] ?? 0;
    if (count > 0) this.#lastCounts[code] = count + 1;
    else this.#addFirst(model, code);
  }

  each(tell: (model: string, code: string, count: number) => void): void {
    for (const [model, counts] of this.#byModel) {
      for (const [code, count] of counts.entries()) {
        if (count > 0) tell(model, codeName(code), count);
      }
    }
  }

  #addFirst(model: string, code: Code): void {
    const isAdmitted = model === OTHER || this.#limit.admits(model, codeName(code));
    const name = isAdmitted ? model : OTHER;
    const counts = this.#byModel.get(name) ?? new Float64Array(CODES);
    counts[code] = (counts[code] ?? 0) + 1;
    this.#byModel.set(name, counts);
    this.#lastCounts = counts;
    this.#lastModel = name;
  }
}

/** @param aggregator how the values of several threads' routers are joined */
function gauge(
  name: string,
  help: string,
  read: () => number,
  registry: Metrics,
  aggregator: 'sum' | 'max' = 'sum',
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    aggregator,
    collect() {
      this.set(read());
    },
  });
}
