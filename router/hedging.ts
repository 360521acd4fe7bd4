// Sends a call that takes long to a second copy as well, for models whose policy allows it: the
// first answer counts, and the other sending is taken back. It costs the retry budget like any
// second sending, so it ends by itself when everything is slow.
import type { Clock } from '../common/clock.ts';
import { lessLoadedOfTwo } from './balance.ts';
import type { Forward, Ready } from './forward.ts';
import type { HedgeDelays } from './hedge-delay.ts';
import type { RouterMetrics } from './metrics.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { Upstreams } from './upstreams.ts';

export interface HedgingParts {
  readonly upstreams: Upstreams;
  readonly budget: RetryBudget;
  readonly delays: HedgeDelays;
  readonly metrics: RouterMetrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Hedging {
  readonly #parts: HedgingParts;

  constructor(parts: HedgingParts) {
    this.#parts = parts;
  }

  /** It is on its way: in a while it may be sent to a second one. */
  sent(forward: Forward, route: Ready): void {
    if (!forward.isRepeatable || forward.isStream || route.nodes.length < 2) return;
    const delayMs = this.#parts.delays.delayMs(forward.model);
    if (delayMs === Number.POSITIVE_INFINITY) return;
    forward.stopHedge = this.#parts.clock.after(delayMs, () => this.#send(forward, route));
  }

  /** The second sending came to nothing; the first goes on. */
  lost(forward: Forward): void {
    const { hedge } = forward;
    if (hedge === undefined) return;
    hedge.outstanding -= 1;
    forward.hedge = undefined;
    this.#parts.budget.ended(true);
  }

  /** The second sending is the only one from now on: the first was taken back, or has failed. */
  promoted(forward: Forward): void {
    const { upstream, hedge } = forward;
    if (upstream === undefined || hedge === undefined) return;
    upstream.outstanding -= 1;
    this.#parts.budget.ended(forward.isRetry);
    forward.upstream = hedge;
    forward.sentMs = forward.hedgeSentMs;
    forward.isRetry = true;
    forward.hedge = undefined;
    this.#parts.metrics.hedged('won');
  }

  /** The call is over, or goes its way alone. */
  ended(forward: Forward): void {
    forward.stopHedge?.();
    forward.stopHedge = undefined;
    if (forward.hedge === undefined) return;
    forward.dropHedge();
    this.lost(forward);
  }

  #send(forward: Forward, route: Ready): void {
    const { upstreams, budget, metrics, clock, random } = this.#parts;
    forward.stopHedge = undefined;
    const { upstream } = forward;
    if (upstream === undefined || forward.isGone || !forward.isKept) return;
    const nowMs = clock.nowMs();
    const asked = new Set([upstream.id, ...forward.strangers]);
    const candidates = upstreams.usable(route.nodes, nowMs, asked, forward.model);
    const other = lessLoadedOfTwo(candidates, random);
    if (other === undefined || !budget.tryRetry()) return;
    budget.began();
    if (other.outstanding === 0) other.heardMs = nowMs;
    other.outstanding += 1;
    forward.hedge = other;
    forward.hedgeSentMs = nowMs;
    if (forward.sendHedge()) metrics.hedged('sent');
    else this.lost(forward);
  }
}
