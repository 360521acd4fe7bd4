// How work is spread over I/O threads. All other metrics have the same labels on each of them, and
// are summed.
import { Counter, Gauge } from 'prom-client';
import { collectLoopLag, type Metrics } from '../../common/metrics.ts';
import type { OwnGrpcListener } from '../../transport/server/serve-grpc.ts';

export interface CountedThread {
  /** 'data-plane', 'data-plane-2', ... */
  readonly name: string;
  listeners(): Iterable<Pick<OwnGrpcListener, 'held'>>;
  /** Calls that it gave to the first thread. */
  handedOver(): number;
}

export function countThread(metrics: Metrics, thread: CountedThread): void {
  const { name } = thread;
  const common = { labelNames: ['thread'] as const, registers: [metrics] };
  collectLoopLag(metrics, name);
  new Gauge({
    ...common,
    name: 'torus_io_thread_connections',
    help: 'Open gRPC connections of an I/O thread',
    collect() {
      let sum = 0;
      for (const { held } of thread.listeners()) sum += held.connections;
      this.set({ thread: name }, sum);
    },
  });
  new Counter({
    ...common,
    name: 'torus_io_thread_handed_over_total',
    help: 'Calls that an I/O thread gave to the first one: all but those for inline models',
    collect() {
      this.reset();
      this.inc({ thread: name }, thread.handedOver());
    },
  });
}
