// Watches how the nodes and their copies do, beside the calls: probes, and looks at latencies.
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Forwarder } from './forward.ts';
import { startProbes } from './probes.ts';
import { LATENCY_SWEEP_MS, type SlowCopies } from './slow-copies.ts';
import type { Upstreams } from './upstreams.ts';

export interface WatchHealthOptions {
  readonly upstreams: Upstreams;
  readonly slowCopies: SlowCopies;
  readonly clock: Clock;
  readonly log: Log;
  readonly forwarder: Pick<Forwarder, 'changed'>;
}

export function watchHealth(options: WatchHealthOptions): { stop(): void } {
  const { upstreams, slowCopies, clock, log, forwarder } = options;
  const probes = startProbes({
    ...{ upstreams, clock },
    onHeard({ id: node }, isSilent) {
      if (isSilent)
        log.warn({ node }, 'the node answers no probes: it gets no calls until it does');
      else log.info({ node }, 'the node answers probes again');
      forwarder.changed();
    },
  });
  const sweep = (): void => {
    for (const { node, model } of slowCopies.sweep()) upstreams.eject(node, model, clock.nowMs());
    stopTimer = clock.after(LATENCY_SWEEP_MS, sweep);
  };
  let stopTimer = clock.after(LATENCY_SWEEP_MS, sweep);
  return {
    stop() {
      stopTimer();
      probes.stop();
    },
  };
}
