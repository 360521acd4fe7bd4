import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { node } from '../test/support/small-cluster.ts';
import { ConnectionLost } from '../transport/backend.ts';
import { EJECT_AFTER_FAILURES, EJECTION_MS, mostEjected, SLOW_START_MS } from './copy-health.ts';
import { NODE_METHODS } from './router.ts';
import { type Ejected, type NodeConnection, SUSPECT_MS, Upstreams } from './upstreams.ts';

const NOBODY: ReadonlySet<string> = new Set();
const connection = {
  methods: NODE_METHODS,
  unary() {},
  stream() {},
  drain: async () => {},
  close() {},
};
const lost = (): ConnectionLost => new ConnectionLost('gone', true);

function scene(ids: readonly string[], random = () => 0.99) {
  const ejected: Ejected[] = [];
  const upstreams = new Upstreams({
    connect: () => connection,
    localBackends: new Map(),
    random,
    onEjected: (one) => void ejected.push(one),
  });
  upstreams.follow(
    ids.map((id) => node(id)),
    0,
  );
  const usable = (nowMs: number, model = 'm') =>
    upstreams.usable(ids, nowMs, NOBODY, model).map(({ id }) => id);
  const get = (id: string) => {
    const found = [...upstreams.all()].find((one) => one.id === id);
    if (found === undefined) throw new Error(`no ${id}`);
    return found;
  };
  const says = (id: string, code: Code, times: number, nowMs: number, model = 'm'): void => {
    for (let at = 0; at < times; at += 1) upstreams.answered(get(id), model, code, nowMs);
  };
  return { upstreams, usable, get, says, ejected };
}

test('a copy that fails in a row is left out, for its model alone, and comes back slowly', (t) => {
  const s = scene(['a', 'b', 'c']);
  s.says('b', Code.INTERNAL, EJECT_AFTER_FAILURES, 0);
  t.deepEqual(s.ejected, [{ node: 'b', model: 'm', reason: 'failures' }]);
  t.deepEqual(s.usable(1), ['a', 'c']);
  t.deepEqual(s.usable(1, 'other'), ['a', 'b', 'c']);
  t.is(s.upstreams.ejected(1), 1);
  t.deepEqual(s.usable(EJECTION_MS).sort(), ['a', 'c'], 'not its turn');
  t.deepEqual(s.usable(EJECTION_MS + SLOW_START_MS), ['a', 'b', 'c']);
  const often = scene(['a', 'b', 'c'], () => 0);
  often.says('b', Code.UNKNOWN, EJECT_AFTER_FAILURES, 0);
  t.deepEqual(often.usable(EJECTION_MS).sort(), ['a', 'b', 'c'], 'its turn');
});

test('overload, deadlines and what clients do wrong eject nobody', (t) => {
  const s = scene(['a', 'b']);
  const innocent = [
    Code.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED,
    Code.DEADLINE_EXCEEDED,
    Code.CANCELLED,
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
  ];
  for (const code of innocent) {
    s.says('a', code, 100, 0);
    for (let at = 0; at < 100; at += 1) {
      s.upstreams.failed(s.get('a'), 'm', new StatusError(code, ''), 0);
    }
  }
  t.deepEqual(s.usable(1), ['a', 'b']);
  t.deepEqual(s.ejected, []);
});

test('a lost connection keeps calls away for a while, several eject', (t) => {
  const s = scene(['a', 'b']);
  s.upstreams.failed(s.get('a'), 'm', lost(), 0);
  t.deepEqual(s.usable(SUSPECT_MS - 1), ['b']);
  t.is(s.upstreams.nextTrustMs(0), SUSPECT_MS);
  for (let at = 1; at < EJECT_AFTER_FAILURES; at += 1) {
    s.upstreams.failed(s.get('a'), 'm', lost(), SUSPECT_MS);
  }
  t.is(s.ejected.length, 1);
  t.deepEqual(s.usable(SUSPECT_MS * 3), ['b']);
});

test('a silent node gets nothing, whatever other copies there are, until it answers', (t) => {
  const s = scene(['a']);
  t.true(s.upstreams.heard(s.get('a'), true, 0));
  t.false(s.upstreams.heard(s.get('a'), true, 1), 'nothing new');
  t.deepEqual(s.upstreams.usable(['a'], 1e9, NOBODY, 'm'), []);
  for (const one of s.upstreams.all()) s.upstreams.heard(one, false, 2e9);
  t.deepEqual(s.usable(2e9), ['a']);
});

test('who is ejected for its latency, and those that left, are known no more', (t) => {
  const s = scene(['a', 'b']);
  s.upstreams.eject('a', 'm', 0);
  s.upstreams.eject('stranger', 'm', 0);
  t.deepEqual(s.ejected, [{ node: 'a', model: 'm', reason: 'latency' }]);
  t.deepEqual(s.usable(1), ['b']);
  s.upstreams.failed(s.get('b'), 'm', unavailable('no'), 1);
  t.deepEqual(s.usable(1), ['b']);
  t.deepEqual(
    s.upstreams.reachable(['a', 'b', 'stranger'], 1).map(({ id }) => id),
    ['a', 'b'],
  );
});

test('of any number of copies with any failures at least half are usable', (t) => {
  const failures = fc.array(fc.record({ at: fc.nat(7), times: fc.nat(8) }), { maxLength: 30 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), failures, fc.nat(100_000), (count, all, nowMs) => {
      const ids = Array.from({ length: count }, (_, at) => `n${at}`);
      const s = scene(ids, () => 0);
      for (const { at, times } of all) s.says(`n${at % count}`, Code.INTERNAL, times, nowMs);
      const usable = s.usable(nowMs);
      const out = s.upstreams.ejected(nowMs);
      t.true(usable.length >= count - mostEjected(count));
      t.is(usable.length, count - Math.min(out, mostEjected(count)));
    }),
  );
});

test('calls at a node that the registry forgot, or that was replaced, may end', (t) => {
  const noted: string[] = [];
  const connect = (address: string): NodeConnection => ({
    ...connection,
    drain: async () => void noted.push(`drain ${address}`),
    close: () => void noted.push(`close ${address}`),
  });
  const upstreams = new Upstreams({
    ...{ connect, localBackends: new Map(), random: () => 0, onEjected() {} },
  });
  upstreams.follow([node('a'), node('b')], 0);
  upstreams.follow([node('a', { incarnation: 'a-2' })], 0);
  t.deepEqual(noted, ['drain a:1', 'drain b:1']);
  t.is(upstreams.size, 1);
  upstreams.follow([node('a', { incarnation: 'a-2' })], 0);
  t.deepEqual(noted.length, 2, 'it stays');
  upstreams.close();
  t.is(noted.at(-1), 'close a:1');
});
