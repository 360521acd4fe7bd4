import test from 'ava';
import type { CopyState } from '../registry/registry.ts';
import { copy, entry } from '../test/support/small-cluster.ts';
import { resolveIn, routeOf, versionsOf } from './model-routes.ts';

const on = (nodeId: string, version: number, isDraining = false) => ({
  ...{ nodeId, isDraining, copy: copy('m', version) },
});

test('a model with one READY version is no more than that', (t) => {
  const route = routeOf(versionsOf([entry('m', 4)], [on('a', 4), on('b', 4, true)]));
  t.deepEqual(route, {
    kind: 'ready',
    ...{ version: 4, nodes: ['a'], isIdempotent: true, isHedged: false, isOneOfSeveral: false },
  });
});

test('calls are sent to a second copy only where each version allows it', (t) => {
  const isHedged = (...hedged: readonly (boolean | undefined)[]): boolean => {
    const entries = hedged.map((one, at) => entry('m', at + 1, { isHedged: one }));
    const route = routeOf(versionsOf(entries, [on('a', 1), on('b', 2)]));
    const told = route.kind === 'ready' ? route : resolveIn(route, 'm', 1, Math.random);
    return told.kind === 'ready' && told.isHedged;
  };
  t.true(isHedged(true));
  t.true(isHedged(true, true));
  t.false(isHedged(true, false));
  t.false(isHedged(undefined));
  t.false(isHedged());
  const once = routeOf(
    versionsOf([entry('m', 1, { isHedged: true, isIdempotent: false })], [on('a', 1)]),
  );
  t.like(once, { isHedged: false });
});

test('one that only its number reaches is not chosen', (t) => {
  const route = routeOf(versionsOf([entry('m', 4, { weight: 0 })], [on('a', 4)]));
  t.is(route.kind, 'mixed');
  if (route.kind !== 'mixed') return;
  t.is(resolveIn(route, 'm', 4, Math.random).kind, 'ready');
  t.is(resolveIn(route, 'm', undefined, Math.random).kind, 'refused');
});

test('an error names the model that was asked for, though the route knows no name', (t) => {
  const route = routeOf(versionsOf([entry('m', 1, { nodes: [], reason: 'unloaded' })], []));
  if (route.kind !== 'mixed') return t.fail();
  for (const model of ['m', 'other']) {
    const told = resolveIn(route, model, 1, Math.random);
    t.regex(told.kind === 'refused' ? told.error.message : '', new RegExp(`'${model}' version 1`));
  }
});

test('a model on demand is called on its home before it is loaded, unless that failed', (t) => {
  const nodes = ['a', 'b'];
  const one = entry('m', 4, { nodes, isOnDemand: true });
  const route = (copies: Parameters<typeof versionsOf>[1]) => routeOf(versionsOf([one], copies));
  const held = (nodeId: string, state: CopyState) => ({
    ...{ nodeId, isDraining: false },
    copy: copy('m', 4, state),
  });
  t.like(route([]), { kind: 'ready', version: 4, nodes: ['a'] });
  t.like(route([held('a', 'LOADING')]), { nodes: ['a'] });
  t.like(route([held('b', 'READY')]), { nodes: ['b'] });
  t.like(route([held('a', 'FAILED')]), { nodes: ['b'] });
  t.like(route([held('a', 'FAILED'), held('b', 'FAILED')]), { kind: 'mixed' });
});
