// What the router counts. Names of models become labels only while they are known to the cluster
// and within the limit of label sets: a flood of made-up names can't grow the process. Calls are
// counted in plain numbers, which prom-client is given when /metrics is asked.
import { Counter, Gauge } from 'prom-client';
import { Buckets, FilledHistogram } from '../common/histogram.ts';
import { LabelLimit, type Metrics, OTHER } from '../common/metrics.ts';
import { Code, codeName } from '../common/status.ts';
import type { Ejected } from './upstreams.ts';

const CODES = Object.keys(Code).length;
const LATENCY_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

const RETRY_REASONS = ['connection-lost', 'unavailable', 'not-found'] as const;
/** 'unavailable', 'not-found': the node said so. */
export type RetryReason = (typeof RETRY_REASONS)[number];

export interface RouterMetrics {
  /** A call for a model was answered. `isKnown`: the cluster knows the model. */
  answered(model: string, isKnown: boolean, code: Code): void;
  /** One attempt at a node ended, well or not. */
  upstream(durationMs: number): void;
  /** A call was sent again. */
  retried(reason: RetryReason): void;
  ejected(reason: Ejected['reason']): void;
  /** A call was sent to a second copy as well; that one's answer counted. */
  hedged(what: 'sent' | 'won'): void;
}

export interface RouterGauges {
  waitingCalls(): number;
  waitingBytes(): number;
  knownNodes(): number;
  ejectedCopies(): number;
  silentNodes(): number;
  registryStalenessMs(): number;
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
  const retries = new Counter({
    name: 'torus_router_retries_total',
    help: 'Calls sent again: their connection was lost, or the node said no',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of RETRY_REASONS) retries.inc({ reason }, 0);
  const ejections = new Counter({
    name: 'torus_router_ejections_total',
    help: 'Copies left out for a while: they failed in a row, or took far longer than others',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of ['failures', 'latency']) ejections.inc({ reason }, 0);
  const hedges = new Counter({
    name: 'torus_router_hedges_total',
    help: 'Calls sent to a second copy as well since they took long, and whose second answer won',
    labelNames: ['what'],
    registers,
  });
  for (const what of ['sent', 'won']) hedges.inc({ what }, 0);
  gauge('torus_router_waiting_calls', 'Calls that wait for a copy', gauges.waitingCalls, registry);
  gauge('torus_router_waiting_bytes', 'Bytes of waiting calls', gauges.waitingBytes, registry);
  const nodes = 'Live nodes that the router knows';
  gauge('torus_router_nodes', nodes, gauges.knownNodes, registry, 'max');
  const ejected = 'Copies that are left out now';
  gauge('torus_router_ejected_copies', ejected, gauges.ejectedCopies, registry, 'max');
  const silent = 'Nodes that answer no probes now';
  gauge('torus_router_silent_nodes', silent, gauges.silentNodes, registry, 'max');
  const staleness = 'Since the registry was last read well; routing goes on meanwhile';
  const seconds = (): number => gauges.registryStalenessMs() / 1_000;
  gauge('torus_router_registry_staleness_seconds', staleness, seconds, registry, 'max');
  return {
    answered: (model, isKnown, code) => answers.add(isKnown ? model : OTHER, code),
    upstream: (durationMs) => latency.observe(durationMs / 1000),
    retried: (reason) => retries.inc({ reason }),
    ejected: (reason) => ejections.inc({ reason }),
    hedged: (what) => hedges.inc({ what }),
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
