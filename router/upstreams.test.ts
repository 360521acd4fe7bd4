import test from 'ava';
import { node } from '../test/support/small-cluster.ts';
import { type NodeConnection, Upstreams } from './upstreams.ts';

/** Notes what becomes of the connections. */
function scene() {
  const noted: string[] = [];
  const connect = (address: string): NodeConnection => ({
    methods: new Map(),
    unary: () => {},
    stream: () => {},
    drain: async () => {
      noted.push(`drain ${address}`);
    },
    close: () => {
      noted.push(`close ${address}`);
    },
  });
  return { noted, upstreams: new Upstreams({ connect, localBackends: new Map() }) };
}

test('calls at a node that the registry forgot, or that was replaced, may end', (t) => {
  const { noted, upstreams } = scene();
  upstreams.follow([node('a'), node('b')]);
  upstreams.follow([node('a', { incarnation: 'a-2' })]);
  t.deepEqual(noted, ['drain a:1', 'drain b:1']);
  t.is(upstreams.size, 1);
  upstreams.follow([node('a', { incarnation: 'a-2' })]);
  t.deepEqual(noted.length, 2, 'it stays');
  upstreams.close();
  t.is(noted.at(-1), 'close a:1');
});
