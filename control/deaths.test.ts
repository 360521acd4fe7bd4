import test from 'ava';
import fc from 'fast-check';
import {
  type AssignmentEntry,
  type CopyRecord,
  MAX_DEATHS,
  NODE_TTL_MS,
} from '../registry/registry.ts';
import { admitted, condemned, DeathBook, FEAR_MS } from './deaths.ts';

const POISON = { model: 'poison', version: 1, manifestSha256: 'a'.repeat(64) };

const entry = (nodes: readonly string[]): AssignmentEntry => ({
  ...POISON,
  ...{ nodes, weight: 1, reason: '', isIdempotent: true },
});

const died = (deaths: number): CopyRecord => ({
  ...POISON,
  ...{ state: 'FAILED', reason: '', memoryBytes: 0, deaths },
});

const serving = (ids: readonly string[]) => ids.map((id) => ({ id, state: 'SERVING' as const }));

test('what nodes say of themselves is added up, and is enough at MAX_DEATHS', (t) => {
  const book = new DeathBook();
  const copies = new Map([
    ['a', [died(1)]],
    ['b', [died(1)]],
  ]);
  const input = { nodes: serving(['a', 'b', 'c']), previous: [entry(['a'])], nowMs: 0 };
  book.update({ ...input, copies });
  t.is(book.of(POISON).known, 2);
  t.is(book.mostNew(POISON), 1);
  t.is(book.mostNew({ ...POISON, version: 2 }), Number.POSITIVE_INFINITY, 'a new version is free');
  t.is(condemned(book, copies).size, 0);
  copies.set('c', [died(1)]);
  book.update({ ...input, copies });
  const [found] = condemned(book, copies).values();
  t.regex(found?.reason ?? '', /'poison' version 1 is in quarantine: 3 times .* a, b, c/);
  t.is(book.mostNew(POISON), 0);
});

test('a node that has gone is feared for until it is back, or its time is over', (t) => {
  const book = new DeathBook();
  const previous = [entry(['a', 'b'])];
  const at = (nowMs: number, ...ids: string[]): number => {
    book.update({ nodes: serving(ids), copies: new Map(), previous, nowMs });
    return book.of(POISON).feared;
  };
  t.is(at(0, 'a', 'b', 'c'), 0);
  t.is(at(1, 'b', 'c'), 1);
  t.is(at(2, 'c'), 2);
  t.is(book.mostNew(POISON), 1);
  t.is(at(3, 'a', 'c'), 1, 'back, and with nothing to say');
  t.is(at(2 + FEAR_MS, 'a', 'c'), 0);
  t.is(at(3 + FEAR_MS, 'c'), 1);
});

test('who leaves on purpose, and who never held it, is not feared for', (t) => {
  const book = new DeathBook();
  const previous = [entry(['a'])];
  const draining = [{ id: 'a', state: 'DRAINING' as const }, ...serving(['b', 'c'])];
  book.update({ nodes: draining, copies: new Map(), previous, nowMs: 0 });
  book.update({ nodes: serving(['c']), copies: new Map(), previous, nowMs: 1 });
  t.is(book.mostNew(POISON), Number.POSITIVE_INFINITY);
});

test('machines that go together leave room for a copy', (t) => {
  const book = new DeathBook();
  const previous = [entry(['a', 'b', 'c'])];
  book.update({ nodes: serving(['a', 'b', 'c', 'd']), copies: new Map(), previous, nowMs: 0 });
  book.update({ nodes: serving(['d']), copies: new Map(), previous, nowMs: 1 });
  t.is(book.mostNew(POISON), 1);
});

/**
 * Nodes that die of whatever they load, are thought alive for a TTL more, and come back with their
 * own counts; a leader that looks all the time, and places up to two copies.
 */
function deathsOf(backAfterMs: readonly number[]): number {
  const book = new DeathBook();
  const nodes = backAfterMs.map((backMs, at) => ({
    ...{ id: `n${at}`, backMs, deaths: 0, upAtMs: 0, seenUntilMs: Number.POSITIVE_INFINITY },
  }));
  let previous = [entry([])];
  let total = 0;
  for (let nowMs = 0; nowMs < 5 * FEAR_MS; nowMs += 100) {
    const isUp = ({ upAtMs }: { readonly upAtMs: number }) => upAtMs <= nowMs;
    const live = nodes.filter((node) => isUp(node) || nowMs < node.seenUntilMs);
    const copies = new Map(
      live.map((node) => [node.id, [died(node.deaths - (isUp(node) ? 0 : 1))]]),
    );
    book.update({ nodes: serving(live.map(({ id }) => id)), copies, previous, nowMs });
    if (condemned(book, copies).size > 0) return total;
    const held = live.filter(({ id }) => previous[0]?.nodes.includes(id));
    const wanted = [...new Set([...held, ...live])].slice(0, 2);
    const targets = wanted.map(({ id }) => id);
    previous = [entry(admitted(book, POISON, targets, [], previous[0]?.nodes ?? []))];
    for (const node of live.filter(isUp)) {
      if (!previous[0]?.nodes.includes(node.id)) continue;
      node.deaths += 1;
      node.upAtMs = nowMs + node.backMs;
      node.seenUntilMs = nowMs + NODE_TTL_MS;
      total += 1;
    }
  }
  return total;
}

test('a version ends at most MAX_DEATHS processes, if they come back in time', (t) => {
  t.plan(1);
  const back = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 6 });
  t.notThrows(() =>
    fc.assert(
      fc.property(
        back,
        (backAfter) => deathsOf(backAfter.map((tenths) => 100 * tenths)) <= MAX_DEATHS,
      ),
    ),
  );
});
