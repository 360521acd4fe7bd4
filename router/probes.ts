// Asks nodes that owe answers, and have said nothing for a while, whether they are there: gRPC's
// health check. One that does not answer gets no new calls until it does; a connection that stays
// as silent is closed a little later by its keepalive, and its calls go elsewhere. A node that
// answers calls is never asked.
import type { Clock } from '../common/clock.ts';
import type { StatusError } from '../common/status.ts';
import { HealthDefinition } from '../proto/gen/grpc/health/v1/health.ts';
import { ConnectionLost, NO_METADATA, type UnaryCall } from '../transport/backend.ts';
import type { Upstream, Upstreams } from './upstreams.ts';

/** So often is looked whom to ask. */
export const PROBE_EVERY_MS = 250;
/** Unanswered for so many looks, and it is silent. */
export const PROBES_MISSED = 3;
export const HEALTH_CHECK = `/${HealthDefinition.fullName}/Check`;
/** A HealthCheckRequest for the whole server. */
const WHOLE_SERVER = new Uint8Array(0);

export interface ProbeOptions {
  readonly upstreams: Upstreams;
  readonly clock: Clock;
  /** It gets no more calls, or gets them again. */
  readonly onHeard: (upstream: Upstream, isSilent: boolean) => void;
}

export interface Probes {
  stop(): void;
}

export function startProbes({ upstreams, clock, onHeard }: ProbeOptions): Probes {
  const open = new Map<Upstream, Probe>();
  const tell = (upstream: Upstream, isSilent: boolean): void => {
    if (upstreams.heard(upstream, isSilent, clock.nowMs())) onHeard(upstream, isSilent);
  };
  const ask = (upstream: Upstream, nowMs: number): void => {
    const probe = new Probe(nowMs, (isThere) => {
      if (open.get(upstream) === probe) open.delete(upstream);
      if (isThere) tell(upstream, false);
    });
    open.set(upstream, probe);
    upstream.backend.unary(probe);
  };
  const look = (): void => {
    const nowMs = clock.nowMs();
    const known = new Set(upstreams.all());
    for (const [upstream, probe] of open) {
      const isLate = nowMs - probe.sentMs >= PROBE_EVERY_MS * PROBES_MISSED;
      if (known.has(upstream) && !isLate) continue;
      open.delete(upstream);
      probe.cancel();
      if (known.has(upstream)) tell(upstream, true);
    }
    for (const upstream of known) {
      if (upstream.opener !== undefined && !open.has(upstream) && isDue(upstream, nowMs)) {
        ask(upstream, nowMs);
      }
    }
    stopTimer = clock.after(PROBE_EVERY_MS, look);
  };
  let stopTimer = clock.after(PROBE_EVERY_MS, look);
  return {
    stop() {
      stopTimer();
      for (const probe of open.values()) probe.cancel();
      open.clear();
    },
  };
}

function isDue({ isSilent, outstanding, heardMs }: Upstream, nowMs: number): boolean {
  return isSilent || (outstanding > 0 && nowMs - heardMs >= PROBE_EVERY_MS);
}

/** Whatever a node says to it, UNIMPLEMENTED too, it is there. */
class Probe implements UnaryCall {
  readonly path = HEALTH_CHECK;
  readonly metadata = NO_METADATA;
  readonly peer = 'router';
  readonly request = WHOLE_SERVER;
  readonly deadlineMs: number;
  readonly sentMs: number;
  answerMetadata = NO_METADATA;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #tell: (isThere: boolean) => void;

  constructor(sentMs: number, tell: (isThere: boolean) => void) {
    this.sentMs = sentMs;
    // Later than it is given up by who sent it.
    this.deadlineMs = sentMs + PROBE_EVERY_MS * (PROBES_MISSED + 2);
    this.#tell = tell;
  }

  succeed(): void {
    if (!this.isCancelled) this.#tell(true);
  }

  fail(error: StatusError): void {
    if (!this.isCancelled) this.#tell(!(error instanceof ConnectionLost));
  }

  cancel(): void {
    if (this.isCancelled) return;
    this.isCancelled = true;
    this.onCancel?.();
  }
}
