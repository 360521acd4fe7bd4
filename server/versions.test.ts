import test from 'ava';
import fc from 'fast-check';
import { type Action, type Copy, VERSION_LIMITS, Versions, type Wanted } from './versions.ts';

function want(model: string, version: number, weight = 1, manifest = 'm'): Wanted {
  const manifestSha256 = `${manifest}${version}`;
  return { model, version, manifestSha256, weight, isKeptOnly: false };
}

function told(actions: readonly Action[]): readonly string[] {
  return actions.map(({ kind, copy }) => `${kind} ${copy.model}/${copy.version}`);
}

function states(versions: Versions): readonly string[] {
  return versions.statuses().map(({ model, version, state }) => `${model}/${version} ${state}`);
}

function copyOf({ model, version, manifestSha256 }: Wanted): Copy {
  return { model, version, manifestSha256 };
}

const PROMPT = { ...VERSION_LIMITS, lingerMs: 0 };
const one = want('digits', 1);
const two = want('digits', 2);
const RETRY = { reason: 'no network', outlook: 'retry' } as const;
const FINAL = { reason: 'truncated', outlook: 'final' } as const;

test('the old version serves until the new one is READY', (t) => {
  const versions = new Versions(PROMPT);
  t.deepEqual(told(versions.want([one], 0)), ['load digits/1']);
  t.deepEqual(versions.loaded(one, 10, 1), []);
  t.deepEqual(told(versions.want([two], 2)), ['load digits/2']);
  t.deepEqual(states(versions), ['digits/1 READY', 'digits/2 LOADING']);
  t.deepEqual(told(versions.loaded(two, 10, 3)), ['unload digits/1']);
  t.deepEqual(versions.unloaded(one, 4), []);
  t.deepEqual(states(versions), ['digits/2 READY']);
});

test('a copy that may go stays a little, for routers that do not know it yet', (t) => {
  const versions = new Versions();
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  t.deepEqual(versions.want([], 100), []);
  t.is(versions.nextMs(), 1100);
  t.deepEqual(versions.tick(1099), []);
  t.deepEqual(told(versions.tick(1100)), ['unload digits/1']);
  t.is(versions.nextMs(), undefined);
});

test('a failed load never displaces what serves', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  versions.want([two], 0);
  t.deepEqual(versions.loadFailed(two, FINAL, 1), []);
  t.deepEqual(states(versions), ['digits/1 READY', 'digits/2 FAILED']);
  t.is(versions.statuses()[1]?.reason, 'truncated');
  t.is(versions.nextMs(), undefined);
  t.deepEqual(told(versions.want([], 2)), ['unload digits/1']);
});

test('a canary that is READY is no replacement for the version that has the calls', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  const canary = want('digits', 3, 0.1);
  t.deepEqual(told(versions.want([want('digits', 2, 0.9), canary], 0)), [
    'load digits/2',
    'load digits/3',
  ]);
  t.deepEqual(versions.loaded(canary, 10, 0), []);
  t.deepEqual(told(versions.loaded(two, 10, 0)), ['unload digits/1']);
});

test('another content of a version takes its place when it is READY, not before', (t) => {
  const versions = new Versions(PROMPT);
  const changed = want('digits', 1, 1, 'changed');
  versions.want([one, two], 0);
  versions.loaded(one, 10, 0);
  versions.loaded(two, 10, 0);
  t.deepEqual(told(versions.want([changed, two], 1)), ['load digits/1']);
  t.deepEqual(versions.loadFailed(changed, FINAL, 2), []);
  t.deepEqual(states(versions), ['digits/1 READY', 'digits/2 READY', 'digits/1 FAILED']);
  const again = want('digits', 1, 1, 'again');
  t.deepEqual(told(versions.want([again, two], 3)), ['load digits/1']);
  t.deepEqual(versions.loaded(again, 10, 4), [{ kind: 'unload', copy: copyOf(one) }]);
});

test('a model that nobody wants is unloaded at once, one that loads when it has loaded', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one, want('iris', 1)], 0);
  versions.loaded(one, 10, 0);
  t.deepEqual(told(versions.want([], 1)), ['unload digits/1']);
  t.deepEqual(told(versions.loaded(want('iris', 1), 10, 2)), ['unload iris/1']);
  versions.unloaded(one, 3);
  versions.unloaded(want('iris', 1), 3);
  t.deepEqual(states(versions), []);
});

test('wanted again while it unloads: it is loaded again after that', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  versions.want([], 1);
  t.deepEqual(versions.want([one], 2), []);
  t.deepEqual(told(versions.unloaded(one, 3)), ['load digits/1']);
});

test('a load is tried again with growing pauses, then no more until asked', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  const pauses: number[] = [];
  let nowMs = 0;
  for (;;) {
    t.deepEqual(versions.loadFailed(one, RETRY, nowMs), []);
    const nextMs = versions.nextMs();
    if (nextMs === undefined) break;
    pauses.push(nextMs - nowMs);
    t.deepEqual(versions.tick(nextMs - 1), []);
    nowMs = nextMs;
    t.deepEqual(told(versions.tick(nowMs)), ['load digits/1']);
  }
  t.deepEqual(pauses, [1000, 2000, 4000, 8000]);
  t.deepEqual(states(versions), ['digits/1 FAILED']);
  t.deepEqual(told(versions.retry(one, nowMs)), ['load digits/1']);
});

test('what a disk or a store keeps from loading is tried again for as long as it takes', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  let nowMs = 0;
  const pauses = Array.from({ length: 8 }, () => {
    versions.loadFailed(one, { reason: 'the disk is full', outlook: 'outside' }, nowMs);
    const pauseMs = (versions.nextMs() ?? Infinity) - nowMs;
    nowMs += pauseMs;
    t.deepEqual(told(versions.tick(nowMs)), ['load digits/1']);
    return pauseMs / 1_000;
  });
  t.deepEqual(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
});

test('a load that was given up is tried again when its thread is free, not before', (t) => {
  const versions = new Versions({ ...PROMPT, loadAttempts: 2 });
  const late = { reason: 'hangs', outlook: 'busy' } as const;
  versions.want([one], 0);
  t.deepEqual(versions.loadFailed(one, late, 1), []);
  t.deepEqual(states(versions), ['digits/1 FAILED']);
  t.is(versions.nextMs(), undefined);
  t.deepEqual(versions.tick(1e9), []);
  t.deepEqual(told(versions.freed(one, 2e9)), ['load digits/1']);
  versions.loadFailed(one, late, 3e9);
  t.deepEqual(versions.freed(one, 4e9), [], 'no more attempts are left');
  t.deepEqual(told(versions.retry(one, 5e9)), ['load digits/1']);
  versions.loadFailed(one, RETRY, 6e9);
  t.deepEqual(versions.freed(one, 6e9), [], 'the pause after another failure is kept');
});

test('a quarantined version is not tried again', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  versions.loadFailed(one, { reason: '3 deaths', outlook: 'quarantined' }, 0);
  t.deepEqual(states(versions), ['digits/1 QUARANTINED']);
  t.deepEqual(versions.tick(1e9), []);
});

test('a copy that fails after it was READY is unloaded, then loaded again', (t) => {
  const versions = new Versions(PROMPT);
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  t.deepEqual(told(versions.copyFailed(one, RETRY, 5)), ['unload digits/1']);
  t.deepEqual(versions.tick(5000), []);
  t.deepEqual(states(versions), ['digits/1 FAILED']);
  t.deepEqual(told(versions.unloaded(one, 5000)), ['load digits/1']);
});

test('what is kept until its new home is READY stays, and is not loaded for that', (t) => {
  const versions = new Versions(PROMPT);
  const kept = { ...one, isKeptOnly: true };
  t.deepEqual(versions.want([kept], 0), []);
  t.deepEqual(states(versions), []);
  versions.want([one], 0);
  versions.loaded(one, 10, 0);
  t.deepEqual(versions.want([kept], 1), []);
  t.deepEqual(told(versions.want([], 2)), ['unload digits/1']);
});

/** Wants and outcomes at random; the promises hold after every step. */
test('never more loads than allowed, never a serving model given up for one that is not', (t) => {
  const copies = [1, 2, 3].flatMap((version) => [want('a', version), want('b', version, 0.5)]);
  const step = fc.oneof(
    fc.subarray(copies).map((wanted) => ({ kind: 'want' as const, wanted })),
    fc.nat(9).map((pick) => ({ kind: 'finish' as const, pick })),
    fc.nat(9).map((pick) => ({ kind: 'fail' as const, pick })),
    fc.nat(40_000).map((byMs) => ({ kind: 'wait' as const, byMs })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const versions = new Versions(PROMPT);
      const running: { kind: 'load' | 'unload'; copy: Copy }[] = [];
      let wanted: readonly Wanted[] = [];
      let nowMs = 0;
      const take = (actions: readonly Action[]): void => {
        for (const action of actions) {
          running.push(action);
          if (action.kind !== 'unload') continue;
          const { model } = action.copy;
          const stillWanted = wanted.filter((other) => other.model === model);
          const ready = versions
            .statuses()
            .filter((other) => other.model === model && other.state === 'READY');
          t.true(
            stillWanted.length === 0 ||
              ready.some(({ version }) => stillWanted.some((w) => w.version === version)),
          );
        }
        t.true(running.filter(({ kind }) => kind === 'load').length <= 2);
      };
      for (const event of steps) {
        if (event.kind === 'want') {
          wanted = event.wanted;
          take(versions.want(wanted, nowMs));
        } else if (event.kind === 'wait') {
          nowMs += event.byMs;
          take(versions.tick(nowMs));
        } else {
          const [done] = running.splice(event.pick % Math.max(1, running.length), 1);
          if (done === undefined) continue;
          if (done.kind === 'unload') take(versions.unloaded(done.copy, nowMs));
          else if (event.kind === 'finish') take(versions.loaded(done.copy, 1, nowMs));
          else take(versions.loadFailed(done.copy, RETRY, nowMs));
        }
      }
      // Left alone, with everything going well, exactly what is wanted ends up READY.
      for (let round = 0; round < 200; round += 1) {
        nowMs += VERSION_LIMITS.maxRetryMs;
        const done = running.shift();
        if (done === undefined) take(versions.tick(nowMs));
        else if (done.kind === 'unload') take(versions.unloaded(done.copy, nowMs));
        else take(versions.loaded(done.copy, 1, nowMs));
      }
      const ready = versions.statuses().filter(({ state }) => state !== 'FAILED');
      t.true(ready.every(({ state }) => state === 'READY'));
      for (const { model, version } of ready) {
        t.true(wanted.some((w) => w.model === model && w.version === version));
      }
      t.is(versions.statuses().length, wanted.length);
    }),
    { numRuns: 300 },
  );
});

test('what is called most is loaded first, whenever it came', (t) => {
  const versions = new Versions({ ...PROMPT, concurrentLoads: 1 });
  const some = [3, 0, 5, 3, 1].map((trafficRank, at) => ({ ...want(`m${at}`, 1), trafficRank }));
  const order = [...told(versions.want(some, 0))];
  for (let loads = 1; loads < some.length; loads += 1) {
    const [, model = ''] = order.at(-1)?.split(/[ /]/) ?? [];
    const next = versions.loaded(want(model, 1), 1, loads);
    t.is(next.length, 1, 'one at a time');
    order.push(...told(next));
  }
  t.deepEqual(order, ['load m2/1', 'load m0/1', 'load m3/1', 'load m4/1', 'load m1/1']);
});
