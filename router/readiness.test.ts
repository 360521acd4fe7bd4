import test from 'ava';
import { copy, entry, node, plan } from '../test/support/small-cluster.ts';
import { Readiness } from './readiness.ts';
import { RouteTable } from './route-table.ts';

test('ready once every model serves or has failed, then until no node lives', (t) => {
  const table = new RouteTable();
  const readiness = new Readiness();
  t.regex(readiness.waitingFor(table).join(), /first assignment/);

  const nodes = ['a'];
  table.addShards(plan([entry('good', 1, { nodes }), entry('bad', 1, { nodes })]));
  table.setNodes([node('a')], new Map([['a', [copy('bad', 1, 'FAILED')]]]));
  t.regex(readiness.waitingFor(table).join(), /models that load: good/);
  table.setNodes([node('a')], new Map([['a', [copy('bad', 1, 'FAILED'), copy('good', 1)]]]));
  t.deepEqual(readiness.waitingFor(table), []);

  table.setNodes([node('a')], new Map([['a', [copy('good', 1, 'LOADING')]]]));
  t.deepEqual(readiness.waitingFor(table), [], 'between copies it stays ready');
  table.setNodes([node('a', { state: 'DRAINING' })], new Map([['a', [copy('good', 1)]]]));
  t.regex(readiness.waitingFor(table).join(), /live node/);
});

test('a cluster without models is ready without nodes', (t) => {
  const table = new RouteTable();
  table.addShards(plan([]));
  t.deepEqual(new Readiness().waitingFor(table), []);
});
