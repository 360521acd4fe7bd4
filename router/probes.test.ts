import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { Code, StatusError } from '../common/status.ts';
import { node } from '../test/support/small-cluster.ts';
import { ConnectionLost, type UnaryCall } from '../transport/backend.ts';
import { HEALTH_CHECK, PROBE_EVERY_MS, PROBES_MISSED, startProbes } from './probes.ts';
import { NODE_METHODS } from './router.ts';
import { Upstreams } from './upstreams.ts';

function scene() {
  const clock = new VirtualClock();
  const probes: UnaryCall[] = [];
  const connection = {
    methods: NODE_METHODS,
    unary: (call: UnaryCall) => void probes.push(call),
    stream() {},
    open: () => {
      throw new Error('no call is passed on here');
    },
    drain: async () => {},
    close() {},
  };
  const random = (): number => 0;
  const upstreams = new Upstreams({
    ...{ connect: () => connection, localBackends: new Map(), random, onEjected() {} },
  });
  upstreams.follow([node('a')], 0);
  const [upstream] = [...upstreams.all()];
  if (upstream === undefined) throw new Error('no upstream');
  const told: boolean[] = [];
  const watch = startProbes({
    upstreams,
    clock,
    onHeard: (_, isSilent) => void told.push(isSilent),
  });
  const owes = (): void => {
    upstream.heardMs = clock.nowMs();
    upstream.outstanding += 1;
  };
  return { clock, probes, upstreams, upstream, told, watch, owes };
}

test('a node that owes nothing, or answers its calls, is not asked', (t) => {
  const s = scene();
  s.clock.advance(10 * PROBE_EVERY_MS);
  s.owes();
  for (let at = 0; at < 100; at += 1) {
    s.clock.advance(PROBE_EVERY_MS / 2);
    s.upstreams.answered(s.upstream, 'm', Code.OK, s.clock.nowMs());
  }
  t.is(s.probes.length, 0);
});

test('one that says nothing is asked, gets no calls once it missed some, and is asked on', (t) => {
  const s = scene();
  s.owes();
  s.clock.advance(PROBE_EVERY_MS);
  t.deepEqual(
    s.probes.map(({ path }) => path),
    [HEALTH_CHECK],
  );
  s.clock.advance((PROBES_MISSED - 1) * PROBE_EVERY_MS);
  t.deepEqual(s.told, []);
  s.clock.advance(PROBE_EVERY_MS);
  t.deepEqual(s.told, [true]);
  t.true(s.probes[0]?.isCancelled);
  t.true(s.upstream.isSilent);
  s.upstream.outstanding = 0;
  s.clock.advance(PROBE_EVERY_MS * 20);
  t.true(s.probes.length > 3);
  s.probes.at(-1)?.succeed(new Uint8Array(0));
  t.deepEqual(s.told, [true, false]);
  const asked = s.probes.length;
  s.clock.advance(PROBE_EVERY_MS * 20);
  t.is(s.probes.length, asked);
});

test('whatever it says, it is there; a lost connection is no answer', (t) => {
  const s = scene();
  s.owes();
  s.clock.advance(2 * PROBE_EVERY_MS);
  s.probes[0]?.fail(new StatusError(Code.UNIMPLEMENTED, 'no such method'));
  t.is(s.upstream.heardMs, s.clock.nowMs());
  s.clock.advance(2 * PROBE_EVERY_MS);
  s.probes[1]?.fail(new ConnectionLost('gone', false));
  t.not(s.upstream.heardMs, s.clock.nowMs());
  t.deepEqual(s.told, []);
});

test('stopped, it asks nobody and lets go of what it asked', (t) => {
  const s = scene();
  s.owes();
  s.clock.advance(2 * PROBE_EVERY_MS);
  s.watch.stop();
  t.true(s.probes[0]?.isCancelled);
  s.clock.advance(PROBE_EVERY_MS * 20);
  t.deepEqual([s.probes.length, s.told.length], [1, 0]);
});
