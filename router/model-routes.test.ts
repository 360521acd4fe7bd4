import test from 'ava';
import { copy, entry } from '../test/support/small-cluster.ts';
import { resolveIn, routeOf, versionsOf } from './model-routes.ts';

const on = (nodeId: string, version: number, isDraining = false) => ({
  ...{ nodeId, isDraining, copy: copy('m', version) },
});

test('a model with one READY version is no more than that', (t) => {
  const route = routeOf(versionsOf([entry('m', 4)], [on('a', 4), on('b', 4, true)]));
  t.deepEqual(route, {
    kind: 'ready',
    ...{ version: 4, nodes: ['a'], isIdempotent: true, isOneOfSeveral: false },
  });
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
