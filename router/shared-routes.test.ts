import test from 'ava';
import { copy, entry } from '../test/support/small-cluster.ts';
import { type ModelRoute, routeOf, versionsOf } from './model-routes.ts';
import { SharedRoutes } from './shared-routes.ts';

function routeOn(nodes: readonly string[], version = 1): ModelRoute {
  const copies = nodes.map((nodeId) => ({
    ...{ nodeId, isDraining: false, copy: copy('m', version) },
  }));
  return routeOf(versionsOf([entry('m', version, { nodes })], copies));
}

test('models of one version on one node share a route, whatever their names', (t) => {
  const shared = new SharedRoutes();
  const first = shared.of(routeOn(['a']));
  t.is(shared.of(routeOn(['a'])), first);
  t.not(shared.of(routeOn(['b'])), first);
  t.not(shared.of(routeOn(['a'], 2)), first);
  const waiting = shared.of(routeOn([]));
  t.is(shared.of(routeOn([])), waiting);
});

test('routes that no model has any more are let go', (t) => {
  const shared = new SharedRoutes();
  const kept = shared.of(routeOn(['kept']));
  const old = shared.of(routeOn(['old']));
  for (let at = 0; at < 20_000; at += 1) shared.of(routeOn([`n${at}`]));
  shared.sweep(new Map([['m', kept]]));
  t.is(shared.of(routeOn(['kept'])), kept);
  t.not(shared.of(routeOn(['old'])), old);
});
