import test from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { Code, type StatusError, unavailable } from '../../common/status.ts';
import { type Backend, ConnectionLost, type StreamCall, type UnaryCall } from '../backend.ts';
import { invokeUnary } from '../invoke.ts';
import { PASSED_OVER_MS, Several } from './several.ts';

const PATH = '/s/m';

/** Answers with its name, or fails as it is told to. */
function server(name: string) {
  const told: { error: StatusError | undefined; calls: number; streams: number } = {
    ...{ error: undefined, calls: 0, streams: 0 },
  };
  const backend: Backend = {
    methods: new Map([[PATH, 'unary']]),
    unary(call: UnaryCall) {
      told.calls += 1;
      if (told.error !== undefined) call.fail(told.error);
      else call.succeed(Buffer.from(name));
    },
    stream: () => {
      told.streams += 1;
    },
  };
  return { told, backend };
}

function scene() {
  const clock = new VirtualClock();
  const [a, b] = [server('a'), server('b')];
  const all = new Several([a.backend, b.backend], clock);
  const ask = async (): Promise<string> =>
    Buffer.from((await invokeUnary(all, PATH, new Uint8Array(0))).response).toString();
  return { clock, a: a.told, b: b.told, all, ask };
}

test('they are asked in turn', async (t) => {
  const { a, b, ask, all } = scene();
  for (let at = 0; at < 10; at += 1) await ask();
  t.deepEqual([a.calls, b.calls], [5, 5]);
  t.is(all.methods.get(PATH), 'unary');
  for (let at = 0; at < 4; at += 1) all.stream({} as StreamCall);
  t.deepEqual([a.streams, b.streams], [2, 2]);
});

test('one that can not be reached is passed over, and its calls go to the other', async (t) => {
  const { clock, a, ask } = scene();
  a.error = new ConnectionLost('refused', false);
  for (let at = 0; at < 10; at += 1) t.is(await ask(), 'b');
  t.is(a.calls, 1);
  clock.advance(PASSED_OVER_MS);
  a.error = undefined;
  const names = [await ask(), await ask()];
  t.deepEqual(names.sort(), ['a', 'b']);
});

test('what may have run, and what a handler says, is the answer', async (t) => {
  const { a, b, ask } = scene();
  for (const error of [new ConnectionLost('lost', true), unavailable('full')]) {
    a.error = error;
    b.error = error;
    const calls = a.calls + b.calls;
    await t.throwsAsync(ask(), { message: error.message });
    t.is(a.calls + b.calls, calls + 1);
  }
});

test('when none can be reached each was asked once, and the error is told', async (t) => {
  const { a, b, ask } = scene();
  for (const one of [a, b]) one.error = new ConnectionLost('refused', false);
  const error = await t.throwsAsync(ask());
  t.like(error, { code: Code.UNAVAILABLE });
  t.deepEqual([a.calls, b.calls], [1, 1]);
  await t.throwsAsync(ask());
  t.deepEqual([a.calls, b.calls], [2, 2], 'passed over, but there are no others');
});

test('a caller that goes is told to whoever has its call', async (t) => {
  let cancelled = 0;
  const hanging: Backend = {
    methods: new Map([[PATH, 'unary']]),
    unary: (call) => {
      call.onCancel = () => {
        cancelled += 1;
      };
    },
    stream: () => {},
  };
  const stop = new AbortController();
  const all = new Several([hanging, hanging]);
  const answer = invokeUnary(all, PATH, new Uint8Array(0), { signal: stop.signal });
  stop.abort();
  await t.throwsAsync(answer);
  t.is(cancelled, 1);
});
