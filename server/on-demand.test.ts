import test from 'ava';
import fc from 'fast-check';
import { type Action, type Copy, VERSION_LIMITS, Versions, type Wanted } from './versions.ts';

const LIMITS = { ...VERSION_LIMITS, memoryLimitBytes: 100, lingerMs: 0 };

const wantedOf = (model: string, costBytes: number, more: Partial<Wanted> = {}): Wanted => ({
  ...{ model, version: 1, manifestSha256: 'a'.repeat(64), weight: 1, isKeptOnly: false },
  ...{ isOnDemand: true, costBytes },
  ...more,
});
const brief = (actions: readonly Action[]) =>
  actions.map(({ kind, copy }) => `${kind} ${copy.model}`);
const copyOf = ({ model, version, manifestSha256 }: Wanted): Copy => ({
  ...{ model, version, manifestSha256 },
});

test('a version on demand is loaded by its first call, once for all calls', (t) => {
  const versions = new Versions(LIMITS);
  const a = wantedOf('a', 10);
  t.deepEqual(versions.want([a], 0), []);
  t.deepEqual([versions.records(), versions.hasOnDemand], [[], true]);
  t.is(versions.stateOf('b', undefined), 'unknown');
  t.deepEqual(brief(versions.called('a', undefined, 5)), ['load a']);
  t.deepEqual(versions.called('a', 1, 6), []);
  t.is(versions.stateOf('a', 1), 'coming');
  versions.loaded(copyOf(a), 10, 7);
  t.is(versions.stateOf('a', undefined), 'ready');
  t.is(versions.records()[0]?.state, 'READY');
});

test('under the memory limit the longest unused leaves, and comes again when it is called', (t) => {
  const versions = new Versions(LIMITS);
  const [a, b, c] = [wantedOf('a', 40), wantedOf('b', 40), wantedOf('c', 40)];
  versions.want([a, b, c], 0);
  for (const [at, one] of [a, b].entries()) {
    versions.called(one.model, undefined, at);
    versions.loaded(copyOf(one), 40, at);
  }
  versions.called('a', undefined, 3_000);
  t.deepEqual(brief(versions.called('c', undefined, 4_000)), ['unload b']);
  t.deepEqual(brief(versions.called('b', undefined, 4_001)), [], 'it is on its way out');
  t.deepEqual(brief(versions.unloaded(copyOf(b), 4_002)), ['load c', 'unload a']);
  t.is(versions.stateOf('b', undefined), 'coming');
  versions.loaded(copyOf(c), 40, 4_003);
  t.deepEqual(brief(versions.unloaded(copyOf(a), 4_005)), ['load b']);
  t.is(versions.stateOf('a', undefined), 'coming', 'as said by stateOf before a call');
});

test('one that was just loaded stays a while; then it may go', (t) => {
  const versions = new Versions(LIMITS);
  const [a, b] = [wantedOf('a', 60), wantedOf('b', 60)];
  versions.want([a, b], 0);
  versions.called('a', undefined, 0);
  versions.loaded(copyOf(a), 60, 10);
  t.deepEqual(brief(versions.called('b', undefined, 20)), []);
  t.is(versions.nextMs(), 10 + LIMITS.minStayMs);
  t.deepEqual(brief(versions.tick(10 + LIMITS.minStayMs)), ['unload a']);
});

test('three failed loads: calls are refused with the reason, later one tries again', (t) => {
  const versions = new Versions(LIMITS);
  const a = wantedOf('a', 10);
  versions.want([a], 0);
  versions.called('a', undefined, 0);
  let nowMs = 0;
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    t.is(versions.stateOf('a', undefined), 'coming');
    versions.loadFailed(copyOf(a), { reason: 'no such operator', outlook: 'retry' }, nowMs);
    if (attempt === 3) break;
    nowMs = versions.nextMs() ?? Number.NaN;
    t.deepEqual(brief(versions.tick(nowMs)), ['load a']);
  }
  const state = versions.stateOf('a', undefined);
  t.regex(typeof state === 'string' ? state : state.reason, /no such operator .*60 s tries again/);
  t.like(versions.records()[0], { state: 'FAILED' });
  t.deepEqual(versions.called('a', undefined, nowMs + 1), []);
  nowMs = versions.nextMs() ?? Number.NaN;
  t.deepEqual(versions.tick(nowMs), []);
  t.deepEqual(versions.records(), []);
  t.deepEqual(brief(versions.called('a', undefined, nowMs)), ['load a']);
  versions.loadFailed(copyOf(a), { reason: 'no such operator', outlook: 'retry' }, nowMs);
  const again = versions.stateOf('a', undefined);
  t.regex(typeof again === 'string' ? again : again.reason, /120 s tries again/);
});

test('what can never fit is refused; what is to be there is loaded', (t) => {
  const versions = new Versions(LIMITS);
  versions.want([wantedOf('huge', 101), wantedOf('pinned', 200, { isOnDemand: false })], 0);
  versions.loaded(copyOf(wantedOf('pinned', 0)), 200, 0);
  versions.called('huge', undefined, 1);
  const state = versions.stateOf('huge', undefined);
  t.regex(typeof state === 'string' ? state : state.reason, /no room .* limit of 100 bytes/);
  t.is(versions.records().find(({ model }) => model === 'pinned')?.state, 'READY');
});

test('whoever calls: within the limit, one load of each at a time, all come in the end', (t) => {
  const models = ['a', 'b', 'c', 'd', 'e'];
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 5, maxLength: 5 });
  const calls = fc.array(fc.tuple(fc.constantFrom(...models), fc.nat(2_000)), { maxLength: 60 });
  const check = fc.property(sizes, calls, fc.infiniteStream(fc.nat(400)), (costs, all, tookMs) => {
    const versions = new Versions(LIMITS);
    const costOf = new Map(models.map((model, at) => [model, costs[at] ?? 1]));
    const due: { atMs: number; action: Action }[] = [];
    const held = new Map<string, number>();
    let nowMs = 0;
    const take = (actions: readonly Action[]): void => {
      for (const action of actions) {
        const { model } = action.copy;
        t.false(
          due.some((one) => one.action.copy.model === model),
          `${model} is busy`,
        );
        if (action.kind === 'load') held.set(model, costOf.get(model) ?? 0);
        const sum = [...held.values()].reduce((total, one) => total + one, 0);
        t.true(sum <= LIMITS.memoryLimitBytes);
        due.push({ atMs: nowMs + (tookMs.next().value ?? 0), action });
      }
    };
    /** Everything that happens up to a moment. */
    const runTo = (endMs: number): void => {
      for (;;) {
        due.sort((a, b) => a.atMs - b.atMs);
        const timerMs = versions.nextMs() ?? Number.POSITIVE_INFINITY;
        const next = due[0];
        const atMs = Math.max(nowMs, Math.min(timerMs, next?.atMs ?? Number.POSITIVE_INFINITY));
        if (atMs > endMs) break;
        const isTimer = timerMs < (next?.atMs ?? Number.POSITIVE_INFINITY);
        nowMs = atMs;
        if (isTimer || next === undefined) {
          take(versions.tick(nowMs));
          continue;
        }
        due.shift();
        const { kind, copy } = next.action;
        if (kind === 'unload') held.delete(copy.model);
        if (kind === 'load') take(versions.loaded(copy, costOf.get(copy.model) ?? 0, nowMs));
        else take(versions.unloaded(copy, nowMs));
      }
      nowMs = endMs;
    };
    take(
      versions.want(
        models.map((model) => wantedOf(model, costOf.get(model) ?? 0)),
        0,
      ),
    );
    for (const [model, pauseMs] of all) {
      runTo(nowMs + pauseMs);
      take(versions.called(model, undefined, nowMs));
    }
    for (const model of models) {
      take(versions.called(model, undefined, nowMs));
      for (let turn = 0; turn < 20 && versions.stateOf(model, undefined) !== 'ready'; turn += 1) {
        runTo(nowMs + 2_000);
        take(versions.called(model, undefined, nowMs));
      }
      t.is(versions.stateOf(model, undefined), 'ready');
    }
  });
  fc.assert(check, { numRuns: 200 });
});
