// The leader's life as a pure state machine: events and the time in, actions out. It leads only
// while it is sure of its lease; sure means that the lease's time, counted from before the registry
// was asked, has not run out. Before each attempt to lead it raises the epoch in the catalog, and
// the assignment it writes carries that epoch, so what an older leader still writes is refused.
import { LEADER_LEASE_MS, LEADER_RENEW_MS } from '../registry/registry.ts';

/** A leader stops being sure this long before its lease ends: room for a stalled event loop. */
export const LEASE_MARGIN_MS = 500;
/** Changes that come together make one plan. */
export const PLAN_PAUSE_MS = 20;
/** After a plan that failed (a store or the registry out of reach). */
export const PLAN_RETRY_MS = 500;
/** Plans again without being told of any change: hints may be lost. */
export const PLAN_RESYNC_MS = 10_000;

export interface LeaderConfig {
  /**
   * After gaining the registry, or finding it again, so that the nodes have told it of themselves:
   * their TTL and 1 s.
   */
  readonly settleMs: number;
  /** Before a plan that removes many copies is carried out: see planner.ts. */
  readonly massRemovalWaitMs: number;
}

interface Leading {
  readonly phase: 'leading';
  readonly epoch: number;
  readonly sureUntilMs: number;
  readonly renewAtMs: number;
  readonly isRenewing: boolean;
  /** The registry left the last renewal without an answer: what it says next may be old. */
  readonly isUnheard: boolean;
  readonly settledAtMs: number;
  readonly planAtMs: number;
  readonly isPlanning: boolean;
  readonly isDirty: boolean;
  /** The next plan is carried out however much it removes. */
  readonly isConfirmed: boolean;
}

export type LeaderState =
  | { readonly phase: 'following'; readonly lookAtMs: number }
  | { readonly phase: 'looking' | 'raising' | 'stopped' }
  | { readonly phase: 'acquiring'; readonly epoch: number; readonly askedMs: number }
  | Leading;

/** 'lost': the registry lost a part of what it held, so it may also lack nodes that live. */
export type PlanOutcome = 'done' | 'held' | 'lost' | 'failed' | 'fenced';

export type LeaderEvent =
  | { readonly kind: 'tick' }
  /** What the registry said of the lease; undefined: it could not be asked. */
  | { readonly kind: 'looked'; readonly isFree: boolean | undefined }
  /** The catalog's new epoch; undefined: it could not be raised. */
  | { readonly kind: 'raised'; readonly epoch: number | undefined }
  | { readonly kind: 'acquired'; readonly epoch: number; readonly isOurs: boolean }
  /** `isOurs` undefined: the registry could not be asked. */
  | {
      readonly kind: 'renewed';
      readonly epoch: number;
      readonly askedMs: number;
      readonly isOurs: boolean | undefined;
    }
  /** The lease changed hands, perhaps. */
  | { readonly kind: 'lease_changed' }
  /** Nodes, copies or the catalog changed, perhaps. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'planned'; readonly epoch: number; readonly outcome: PlanOutcome }
  | { readonly kind: 'stop' };

export type LeaderAction =
  | { readonly kind: 'look' | 'raise' }
  | { readonly kind: 'acquire' | 'renew' | 'release'; readonly epoch: number }
  | { readonly kind: 'plan'; readonly epoch: number; readonly isConfirmed: boolean };

export interface LeaderStep {
  readonly state: LeaderState;
  readonly actions: readonly LeaderAction[];
}

export function startLeader(nowMs: number): LeaderState {
  return { phase: 'following', lookAtMs: nowMs };
}

/** Whether it may act as leader at this moment. */
export function isSure(state: LeaderState, nowMs: number): state is Leading {
  return state.phase === 'leading' && nowMs < state.sureUntilMs;
}

/** When the machine wants its next tick; Infinity: it waits for an answer. */
export function wakeAtMs(state: LeaderState): number {
  switch (state.phase) {
    case 'following':
      return state.lookAtMs;
    case 'leading': {
      const renewMs = state.isRenewing ? Number.POSITIVE_INFINITY : state.renewAtMs;
      const planMs = planDueMs(state);
      return Math.min(state.sureUntilMs, renewMs, planMs);
    }
    default:
      return Number.POSITIVE_INFINITY;
  }
}

export function stepLeader(
  state: LeaderState,
  event: LeaderEvent,
  nowMs: number,
  config: LeaderConfig,
): LeaderStep {
  if (event.kind === 'stop') return stop(state);
  switch (state.phase) {
    case 'stopped':
      return stoppedStep(event);
    case 'following':
      if (event.kind !== 'lease_changed' && nowMs < state.lookAtMs) return rest(state);
      return { state: { phase: 'looking' }, actions: [{ kind: 'look' }] };
    case 'looking':
      if (event.kind !== 'looked') return rest(state);
      if (event.isFree !== true) return follow(nowMs + LEADER_RENEW_MS);
      return { state: { phase: 'raising' }, actions: [{ kind: 'raise' }] };
    case 'raising': {
      if (event.kind !== 'raised') return rest(state);
      if (event.epoch === undefined) return follow(nowMs + LEADER_RENEW_MS);
      const { epoch } = event;
      return {
        state: { phase: 'acquiring', epoch, askedMs: nowMs },
        actions: [{ kind: 'acquire', epoch }],
      };
    }
    case 'acquiring':
      if (event.kind !== 'acquired') return rest(state);
      return event.isOurs
        ? rest(lead(state.epoch, state.askedMs, nowMs, config))
        : follow(nowMs + LEADER_RENEW_MS);
    case 'leading':
      return leadingStep(state, event, nowMs, config);
  }
}

function rest(state: LeaderState): LeaderStep {
  return { state, actions: [] };
}

function follow(lookAtMs: number): LeaderStep {
  return rest({ phase: 'following', lookAtMs });
}

function stop(state: LeaderState): LeaderStep {
  const isHolding = state.phase === 'leading' || state.phase === 'acquiring';
  return {
    state: { phase: 'stopped' },
    actions: isHolding ? [{ kind: 'release', epoch: state.epoch }] : [],
  };
}

/** A lease that was granted after the stop is given back. */
function stoppedStep(event: LeaderEvent): LeaderStep {
  const isLate = event.kind === 'acquired' && event.isOurs;
  return {
    state: { phase: 'stopped' },
    actions: isLate ? [{ kind: 'release', epoch: event.epoch }] : [],
  };
}

function lead(epoch: number, askedMs: number, nowMs: number, config: LeaderConfig): Leading {
  return {
    phase: 'leading',
    epoch,
    sureUntilMs: askedMs + LEADER_LEASE_MS - LEASE_MARGIN_MS,
    renewAtMs: askedMs + LEADER_RENEW_MS,
    isRenewing: false,
    isUnheard: false,
    settledAtMs: nowMs + config.settleMs,
    planAtMs: nowMs,
    isPlanning: false,
    isDirty: true,
    isConfirmed: false,
  };
}

function planDueMs(state: Leading): number {
  if (state.isPlanning || state.isUnheard) return Number.POSITIVE_INFINITY;
  return Math.max(state.planAtMs, state.settledAtMs);
}

function leadingStep(
  before: Leading,
  event: LeaderEvent,
  nowMs: number,
  config: LeaderConfig,
): LeaderStep {
  const state = heed(before, event, nowMs, config);
  if (state === undefined || !isSure(state, nowMs)) return follow(nowMs + LEADER_RENEW_MS);
  const actions: LeaderAction[] = [];
  const renews = !state.isRenewing && nowMs >= state.renewAtMs;
  if (renews) actions.push({ kind: 'renew', epoch: state.epoch });
  const plans = nowMs >= planDueMs(state);
  if (plans) actions.push({ kind: 'plan', epoch: state.epoch, isConfirmed: state.isConfirmed });
  return {
    state: {
      ...state,
      isRenewing: state.isRenewing || renews,
      renewAtMs: renews ? nowMs + LEADER_RENEW_MS : state.renewAtMs,
      isPlanning: state.isPlanning || plans,
      isDirty: plans ? false : state.isDirty,
    },
    actions,
  };
}

/** What an event changes; undefined: it leads no more. */
function heed(
  state: Leading,
  event: LeaderEvent,
  nowMs: number,
  config: LeaderConfig,
): Leading | undefined {
  switch (event.kind) {
    case 'renewed': {
      if (event.epoch !== state.epoch) return state;
      if (event.isOurs === false) return undefined;
      if (event.isOurs === undefined) return { ...state, isRenewing: false, isUnheard: true };
      return renewed(state, event.askedMs, nowMs, config);
    }
    case 'changed': {
      if (state.isDirty) return state;
      const soonMs = nowMs + PLAN_PAUSE_MS;
      // While one plan runs, the next one's time is set when it ends.
      const planAtMs = state.isPlanning ? state.planAtMs : Math.min(state.planAtMs, soonMs);
      return { ...state, isDirty: true, planAtMs };
    }
    case 'planned':
      if (event.epoch !== state.epoch) return state;
      return event.outcome === 'fenced' ? undefined : planned(state, event.outcome, nowMs, config);
    default:
      return state;
  }
}

function renewed(
  state: Leading,
  askedMs: number,
  nowMs: number,
  { settleMs }: LeaderConfig,
): Leading {
  const told = askedMs + LEADER_LEASE_MS - LEASE_MARGIN_MS;
  const sureUntilMs = Math.max(state.sureUntilMs, told);
  const ours = { ...state, isRenewing: false, sureUntilMs };
  if (!state.isUnheard) return ours;
  // Found again: nodes that could not reach it either may seem gone.
  const settledAtMs = nowMs + settleMs;
  const fresh = { isUnheard: false, isConfirmed: false, isDirty: true, planAtMs: nowMs };
  return { ...ours, ...fresh, settledAtMs };
}

function planned(
  state: Leading,
  outcome: Exclude<PlanOutcome, 'fenced'>,
  nowMs: number,
  config: LeaderConfig,
): Leading {
  const waitMs = {
    done: state.isDirty ? PLAN_PAUSE_MS : PLAN_RESYNC_MS,
    held: config.massRemovalWaitMs,
    lost: 0,
    failed: PLAN_RETRY_MS,
  }[outcome];
  return {
    ...state,
    isPlanning: false,
    isDirty: state.isDirty || outcome !== 'done',
    isConfirmed: outcome === 'held' || (outcome === 'failed' && state.isConfirmed),
    settledAtMs: outcome === 'lost' ? nowMs + config.settleMs : state.settledAtMs,
    planAtMs: nowMs + waitMs,
  };
}
