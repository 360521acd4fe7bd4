import test from 'ava';
import fc from 'fast-check';
import { LEADER_LEASE_MS, LEADER_RENEW_MS } from '../registry/registry.ts';
import {
  isSure,
  LEASE_MARGIN_MS,
  type LeaderAction,
  type LeaderConfig,
  type LeaderEvent,
  type LeaderState,
  PLAN_PAUSE_MS,
  PLAN_RESYNC_MS,
  PLAN_RETRY_MS,
  startLeader,
  stepLeader,
  wakeAtMs,
} from './leader-state.ts';

const CONFIG: LeaderConfig = { settleMs: 3_000, massRemovalWaitMs: 2_000 };
const NO_WAIT: LeaderConfig = { settleMs: 0, massRemovalWaitMs: 0 };

/** A leader's life as told by a list of [time, event]; what it does is written down. */
class Story {
  state: LeaderState = startLeader(0);
  actions: LeaderAction[] = [];
  readonly #config: LeaderConfig;

  constructor(config: LeaderConfig = CONFIG) {
    this.#config = config;
  }

  at(nowMs: number, event: LeaderEvent = { kind: 'tick' }): LeaderAction[] {
    const step = stepLeader(this.state, event, nowMs, this.#config);
    this.state = step.state;
    this.actions = [...step.actions];
    return this.actions;
  }

  /** Leads under epoch 1 from time 0 on. */
  lead(): this {
    this.at(0);
    this.at(0, { kind: 'looked', isFree: true });
    this.at(0, { kind: 'raised', epoch: 1 });
    this.at(0, { kind: 'acquired', epoch: 1, isOurs: true });
    return this;
  }
}

const kinds = (actions: readonly LeaderAction[]): string[] => actions.map(({ kind }) => kind);

test('a free lease is taken after the epoch was raised', (t) => {
  const story = new Story();
  t.deepEqual(story.at(0), [{ kind: 'look' }]);
  t.deepEqual(story.at(5, { kind: 'looked', isFree: true }), [{ kind: 'raise' }]);
  t.deepEqual(story.at(9, { kind: 'raised', epoch: 7 }), [{ kind: 'acquire', epoch: 7 }]);
  t.false(isSure(story.state, 9));
  story.at(12, { kind: 'acquired', epoch: 7, isOurs: true });
  t.true(isSure(story.state, 12));
});

test('the lease of another is left alone, and looked at again', (t) => {
  const story = new Story();
  story.at(0);
  t.deepEqual(story.at(1, { kind: 'looked', isFree: false }), []);
  t.is(wakeAtMs(story.state), 1 + LEADER_RENEW_MS);
  t.deepEqual(story.at(500), []);
  t.deepEqual(kinds(story.at(600, { kind: 'lease_changed' })), ['look']);
});

test('sure means within the lease counted from before it was asked for', (t) => {
  const story = new Story();
  story.at(0);
  story.at(0, { kind: 'looked', isFree: true });
  story.at(0, { kind: 'raised', epoch: 1 });
  story.at(2_000, { kind: 'acquired', epoch: 1, isOurs: true });
  t.true(isSure(story.state, LEADER_LEASE_MS - LEASE_MARGIN_MS - 1));
  t.false(isSure(story.state, LEADER_LEASE_MS - LEASE_MARGIN_MS));
});

test('a leader that can not renew stops before its lease ends, and starts over', (t) => {
  const story = new Story().lead();
  t.deepEqual(kinds(story.at(1_000)), ['renew']);
  story.at(1_100, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: undefined });
  t.true(isSure(story.state, 1_100));
  t.is(wakeAtMs(story.state), 2_000);
  t.deepEqual(kinds(story.at(2_000)), ['renew']);
  t.is(wakeAtMs(story.state), LEADER_LEASE_MS - LEASE_MARGIN_MS);
  t.deepEqual(story.at(LEADER_LEASE_MS - LEASE_MARGIN_MS), []);
  t.is(story.state.phase, 'following');
});

test('a renewal prolongs from when it was asked; a lost one ends the lead at once', (t) => {
  const story = new Story().lead();
  story.at(1_000);
  story.at(1_900, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: true });
  t.true(isSure(story.state, 1_000 + LEADER_LEASE_MS - LEASE_MARGIN_MS - 1));
  story.at(2_000);
  story.at(2_100, { kind: 'renewed', epoch: 1, askedMs: 2_000, isOurs: false });
  t.is(story.state.phase, 'following');
});

test('it plans nothing until the nodes had time to tell of themselves', (t) => {
  const story = new Story().lead();
  for (const nowMs of [10, 900]) t.deepEqual(story.at(nowMs, { kind: 'changed' }), []);
  story.at(1_000);
  story.at(1_000, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: true });
  story.at(2_000);
  story.at(2_000, { kind: 'renewed', epoch: 1, askedMs: 2_000, isOurs: true });
  t.deepEqual(kinds(story.at(CONFIG.settleMs)), ['renew', 'plan']);
  t.deepEqual(kinds(new Story(NO_WAIT).lead().at(0)), ['plan']);
});

test('a registry that is found again is not believed at once', (t) => {
  const story = new Story({ settleMs: 500, massRemovalWaitMs: 2_000 }).lead();
  t.deepEqual(kinds(story.at(500)), ['plan']);
  story.at(1_000);
  story.at(1_100, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: undefined });
  story.at(1_100, { kind: 'planned', epoch: 1, outcome: 'held' });
  t.deepEqual(story.at(1_200, { kind: 'changed' }), []);
  story.at(2_000);
  t.deepEqual(story.at(2_200, { kind: 'renewed', epoch: 1, askedMs: 2_000, isOurs: true }), []);
  t.is(wakeAtMs(story.state), 2_700);
  t.deepEqual(story.at(2_300, { kind: 'changed' }), []);
  t.deepEqual(story.at(2_700), [{ kind: 'plan', epoch: 1, isConfirmed: false }]);
});

test('a registry that lost a part is given the time to fill again', (t) => {
  const story = new Story().lead();
  story.at(1_000);
  story.at(1_000, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: true });
  story.at(2_000);
  story.at(2_900, { kind: 'renewed', epoch: 1, askedMs: 2_900, isOurs: true });
  t.deepEqual(kinds(story.at(3_000)), ['renew', 'plan']);
  story.at(3_010, { kind: 'renewed', epoch: 1, askedMs: 3_000, isOurs: true });
  t.deepEqual(story.at(3_020, { kind: 'planned', epoch: 1, outcome: 'lost' }), []);
  t.deepEqual(story.at(3_500, { kind: 'changed' }), []);
  t.is(story.state.phase === 'leading' && story.state.settledAtMs, 3_020 + CONFIG.settleMs);
});

test('changes during a plan make one more; without any it plans now and then', (t) => {
  const story = new Story(NO_WAIT).lead();
  t.deepEqual(kinds(story.at(0)), ['plan']);
  t.deepEqual(story.at(5, { kind: 'changed' }), []);
  t.deepEqual(story.at(30, { kind: 'changed' }), []);
  t.deepEqual(story.at(50, { kind: 'planned', epoch: 1, outcome: 'done' }), []);
  t.deepEqual(kinds(story.at(50 + PLAN_PAUSE_MS)), ['plan']);
  story.at(100, { kind: 'planned', epoch: 1, outcome: 'done' });
  t.is(story.state.phase === 'leading' && story.state.planAtMs, 100 + PLAN_RESYNC_MS);
  story.at(200, { kind: 'changed' });
  t.is(wakeAtMs(story.state), 200 + PLAN_PAUSE_MS);
});

test('a plan held back is carried out after the wait; a failed one is tried again', (t) => {
  const story = new Story({ settleMs: 0, massRemovalWaitMs: 2_000 }).lead();
  t.deepEqual(story.at(0), [{ kind: 'plan', epoch: 1, isConfirmed: false }]);
  story.at(10, { kind: 'planned', epoch: 1, outcome: 'held' });
  t.deepEqual(story.at(900, { kind: 'changed' }), []);
  story.at(1_000);
  story.at(1_000, { kind: 'renewed', epoch: 1, askedMs: 1_000, isOurs: true });
  const actions = story.at(2_010);
  t.deepEqual(actions.at(-1), { kind: 'plan', epoch: 1, isConfirmed: true });
  story.at(2_020, { kind: 'renewed', epoch: 1, askedMs: 2_010, isOurs: true });
  story.at(2_020, { kind: 'planned', epoch: 1, outcome: 'failed' });
  const again = story.at(2_020 + PLAN_RETRY_MS);
  t.deepEqual(again, [{ kind: 'plan', epoch: 1, isConfirmed: true }]);
  story.at(2_600, { kind: 'planned', epoch: 1, outcome: 'done' });
  t.is(story.state.phase === 'leading' && story.state.isConfirmed, false);
});

test('a leader whose write was refused leads no more', (t) => {
  const story = new Story(NO_WAIT).lead();
  story.at(0);
  story.at(1, { kind: 'planned', epoch: 1, outcome: 'fenced' });
  t.is(story.state.phase, 'following');
});

test('answers that belong to an earlier lead are passed over', (t) => {
  const story = new Story(NO_WAIT).lead();
  story.at(0);
  story.at(1, { kind: 'planned', epoch: 0, outcome: 'fenced' });
  story.at(1, { kind: 'renewed', epoch: 0, askedMs: 0, isOurs: false });
  t.true(isSure(story.state, 1));
});

test('a stop gives the lease back, also one that is granted late', (t) => {
  const story = new Story().lead();
  t.deepEqual(story.at(1, { kind: 'stop' }), [{ kind: 'release', epoch: 1 }]);
  t.is(wakeAtMs(story.state), Number.POSITIVE_INFINITY);
  const late = story.at(2, { kind: 'acquired', epoch: 2, isOurs: true });
  t.deepEqual(late, [{ kind: 'release', epoch: 2 }]);
  t.deepEqual(new Story().at(0, { kind: 'stop' }), []);
});

const event: fc.Arbitrary<LeaderEvent> = fc.oneof(
  fc.constant<LeaderEvent>({ kind: 'tick' }),
  fc.constant<LeaderEvent>({ kind: 'changed' }),
  fc.constant<LeaderEvent>({ kind: 'lease_changed' }),
  fc.constantFrom(true, false, undefined).map((isFree) => ({ kind: 'looked' as const, isFree })),
  fc.constantFrom(1, 2, undefined).map((epoch) => ({ kind: 'raised' as const, epoch })),
  fc.record({ kind: fc.constant('acquired' as const), epoch: fc.nat(2), isOurs: fc.boolean() }),
  fc.record({
    kind: fc.constant('renewed' as const),
    epoch: fc.nat(2),
    askedMs: fc.constant(0),
    isOurs: fc.constantFrom(true, false, undefined),
  }),
  fc.record({
    kind: fc.constant('planned' as const),
    epoch: fc.nat(2),
    outcome: fc.constantFrom('done' as const, 'held', 'lost', 'failed', 'fenced'),
  }),
);

test('whatever it is told: it acts only while sure, and always wakes or waits', (t) => {
  const steps = fc.array(fc.tuple(fc.nat(1_500), event), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (list) => {
      const story = new Story();
      let nowMs = 0;
      for (const [passMs, told] of list) {
        nowMs += passMs;
        for (const action of story.at(nowMs, told)) {
          if (action.kind === 'plan' || action.kind === 'renew') {
            t.true(isSure(story.state, nowMs));
          }
        }
        const { phase } = story.state;
        const isWaiting = phase === 'looking' || phase === 'raising' || phase === 'acquiring';
        t.is(Number.isFinite(wakeAtMs(story.state)), !isWaiting);
      }
    }),
    { numRuns: 500 },
  );
});
