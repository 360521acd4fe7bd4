import test from 'ava';
import { Code, type StatusError, unavailable } from '../common/status.ts';
import { ModelInferRequest } from '../proto/gen/inference/grpc_service.ts';
import type { Backend, UnaryCall } from '../transport/backend.ts';
import { DemandGate } from './demand-gate.ts';
import type { Called } from './on-demand.ts';

const PATH = '/inference.GRPCInferenceService/ModelInfer';
const HOUR_MS = 3_600_000;

function scene(limits?: ConstructorParameters<typeof DemandGate>[3]) {
  let now = 0;
  const timers = new Map<() => void, number>();
  const clock = {
    nowMs: () => now,
    after(delayMs: number, callback: () => void) {
      timers.set(callback, now + delayMs);
      return () => void timers.delete(callback);
    },
  };
  const passed: UnaryCall[] = [];
  const inner: Backend = {
    methods: new Map(),
    unary: (call) => void passed.push(call),
    stream: () => {},
  };
  const state = { now: 'coming' as Called, loads: 0, hasOnDemand: true };
  const copies = {
    called: () => {
      state.loads += 1;
      return state.now;
    },
    stateOf: () => state.now,
    get hasOnDemand() {
      return state.hasOnDemand;
    },
  };
  const gate = new DemandGate(inner, copies, clock, limits);
  const call = (deadlineMs = HOUR_MS, path = PATH) => {
    const errors: StatusError[] = [];
    const one = {
      ...{ path, metadata: [], deadlineMs, peer: 'local', isCancelled: false },
      onCancel: undefined as (() => void) | undefined,
      request: ModelInferRequest.encode(ModelInferRequest.fromPartial({ modelName: 'm' })).finish(),
      succeed: () => {},
      fail: (error: StatusError) => void errors.push(error),
      errors,
    };
    gate.unary(one);
    return one;
  };
  const advance = (ms: number): void => {
    now += ms;
    for (const [callback, dueMs] of [...timers]) if (dueMs <= now) callback();
  };
  return { gate, state, passed, call, advance, timers };
}

test('calls wait until their model is there, in the order of coming', (t) => {
  const { gate, state, passed, call, timers } = scene();
  const calls = [call(), call(), call()];
  t.deepEqual([gate.calls, passed.length], [3, 0]);
  gate.changed();
  t.is(passed.length, 0);
  state.now = 'ready';
  gate.changed();
  t.true(passed.length === 3 && calls.every((one, at) => passed[at] === one));
  t.deepEqual([gate.calls, timers.size], [0, 0]);
  call();
  t.is(passed.length, 4);
});

test('a call hears before its deadline that it waited in vain', (t) => {
  const { gate, call, advance } = scene();
  const [short, long] = [call(1_000), call()];
  advance(995);
  t.is(short.errors[0]?.code, Code.DEADLINE_EXCEEDED);
  t.regex(short.errors[0]?.message ?? '', /'m' is loaded on demand, and was not ready/);
  t.deepEqual([long.errors, gate.calls], [[], 1]);
});

test('loads that failed are told with their reason', (t) => {
  const { gate, state, call } = scene();
  const waiting = call();
  state.now = { reason: 'no such operator' };
  gate.changed();
  for (const one of [waiting, call()]) {
    t.is(one.errors[0]?.code, Code.UNAVAILABLE);
    t.regex(one.errors[0]?.message ?? '', /which failed: no such operator/);
  }
});

test('too many calls, and too many bytes, are refused; one that leaves makes room', (t) => {
  const { gate, call } = scene({ maxCalls: 2, maxBytes: 1_000 });
  const first = call();
  call();
  t.is(call().errors[0]?.code, Code.UNAVAILABLE);
  first.onCancel?.();
  t.is(gate.calls, 1);
  t.deepEqual(call().errors, []);
  const narrow = scene({ maxCalls: 2, maxBytes: 1 });
  t.regex(narrow.call().errors[0]?.message ?? '', /0 of 1 bytes/);
});

test('who only looks loads nothing, and what names no such model passes', (t) => {
  const { state, passed, call } = scene();
  call(HOUR_MS, '/inference.GRPCInferenceService/ModelReady');
  t.deepEqual([state.loads, passed.length], [0, 1]);
  state.now = 'unknown';
  call();
  t.is(passed.length, 2);
  state.hasOnDemand = false;
  call();
  t.deepEqual([state.loads, passed.length], [1, 3]);
});

test('when the node stops, those that wait are told', (t) => {
  const { gate, call } = scene();
  const waiting = call();
  gate.stop(unavailable('gone'));
  t.is(waiting.errors[0]?.message, 'gone');
});
