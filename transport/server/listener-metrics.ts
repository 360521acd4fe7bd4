// What a listener counts: who crossed which limit, and what it holds now. The names of limits are
// few and ours; nothing that a caller sends becomes a label.
import { Counter, Gauge } from 'prom-client';
import type { Metrics } from '../../common/metrics.ts';
import type { Held } from './serve-grpc.ts';
import type { ServerLimitName } from './server-limits.ts';

export interface ListenerMetrics {
  /** For ServeGrpcOptions. */
  onLimit(name: ServerLimitName): void;
  /** What it holds is shown from now on. */
  watch(listener: { readonly held: Held }): void;
}

const GAUGES = {
  connections: ['torus_grpc_connections', 'Open connections'],
  calls: ['torus_grpc_open_calls', 'Calls taken and not yet answered whole'],
  requestBytes: ['torus_grpc_request_bytes', 'Bytes of requests that are held'],
  answerBytes: ['torus_grpc_answer_bytes', 'Bytes of answers that callers have not taken'],
} as const satisfies Partial<Record<keyof Held, readonly [name: string, help: string]>>;

/** One for each registry of metrics. @param listener whose it is: 'router', or a node's id */
export function listenerMetrics(registry: Metrics, listener: string): ListenerMetrics {
  const registers = [registry];
  const crossings = new Counter({
    name: 'torus_grpc_limit_crossings_total',
    help: 'Times that callers crossed a limit of a listener, by its name',
    labelNames: ['listener', 'limit'],
    registers,
  });
  let watched: { readonly held: Held } | undefined;
  for (const key of Object.keys(GAUGES) as (keyof typeof GAUGES)[]) {
    const [name, help] = GAUGES[key];
    new Gauge({
      name,
      help,
      labelNames: ['listener'],
      registers,
      collect() {
        if (watched !== undefined) this.set({ listener }, watched.held[key]);
      },
    });
  }
  return {
    onLimit: (limit) => crossings.inc({ listener, limit }),
    watch(listener) {
      watched = listener;
    },
  };
}
