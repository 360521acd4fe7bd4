// However a call ends, and wherever it stands then: no stream, buffer, deadline or byte of a budget
// is left of it, and its callee hears of it once.
import '../../test/support/poison-reads.ts';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import type { Backend, StreamCall, UnaryCall } from '../backend.ts';
import { STREAM_DRAIN_TIMEOUT_MS } from '../grpc-listener.ts';
import { type OwnGrpcListener, type ServeGrpcOptions, serveGrpc } from './serve-grpc.ts';
import { statusOfAnswer, textOfAnswer, type WireCall, WireClient } from './wire-client.ts';

const log = createLog({ role: 'test', level: 'silent' });
const UNARY = '/a.B/Unary';
const STREAM = '/a.B/Stream';
const NOTHING = { calls: 0, requestBytes: 0, answerBytes: 0, deadlines: 0 };
const TIMEOUT_MS = 1_000;
const CHUNK = Buffer.alloc(1_000);

/** Answers nothing by itself. */
class Silent implements Backend {
  readonly methods = new Map([
    [UNARY, 'unary'],
    [STREAM, 'bidi_stream'],
  ] as const);
  readonly unaries: UnaryCall[] = [];
  readonly streams: StreamCall[] = [];
  messages = 0;
  cancelled = 0;

  unary(call: UnaryCall): void {
    this.unaries.push(call);
    call.onCancel = () => void this.cancelled++;
  }

  stream(call: StreamCall): void {
    this.streams.push(call);
    call.onCancel = () => void this.cancelled++;
    call.onMessage = () => {
      this.messages += 1;
      call.pause();
    };
  }
}

interface Scene {
  readonly callee: Silent;
  readonly clock: VirtualClock;
  readonly server: OwnGrpcListener;
  readonly client: WireClient;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await turn();
}

type Reach = (call: WireCall, scene: Scene) => Promise<void>;

/** Where a call may stand: brings it there. */
const STATES: Record<string, Reach> = {
  'head only': async () => {},
  'inside a prefix': async (call, { server }) => {
    call.stream.write(Buffer.alloc(3));
    await until(() => server.held.requestBytes === 3);
  },
  'inside a message': async (call, { server }) => {
    call.begin(200_000, Buffer.alloc(100_000));
    await until(() => server.held.requestBytes === 100_005);
  },
  'message whole, request not': async (call, { server }) => {
    call.message(CHUNK);
    await until(() => server.held.requestBytes === 1_005);
  },
  running: async (call, { callee }) => {
    call.message(CHUNK);
    call.stream.end();
    await until(() => callee.unaries.length === 1);
  },
};

/** The same for a stream, whose callee knows of it from its head on. */
const STREAM_STATES: Record<string, Reach> = {
  'head only': async () => {},
  'paused, more waits': async (call, { callee, server }) => {
    for (let at = 0; at < 3; at += 1) call.message(CHUNK);
    await until(() => callee.messages === 1 && server.held.requestBytes >= 2_010);
  },
  'half closed, more waits': async (call, { callee, server }) => {
    for (let at = 0; at < 3; at += 1) call.message(CHUNK);
    call.stream.end();
    await until(() => callee.messages === 1 && server.held.requestBytes >= 2_010);
  },
  'answers wait for a window': async (_call, { callee, server }) => {
    await until(() => callee.streams.length === 1);
    while (callee.streams[0]?.send(CHUNK) === true);
    await until(() => server.held.answerBytes > 60_000);
  },
};

/** How it may end; the client is there afterwards or not. */
const ENDINGS: Record<string, Reach> = {
  'reset by its caller': async (call) => call.cancel(),
  'its caller is gone': async (_call, { client }) => client.cut(),
  'its deadline has passed': async (call, { clock, server }) => {
    clock.advance(TIMEOUT_MS + 10);
    // A caller without a window for the answers before it never hears of the status behind them.
    if (server.held.answerBytes > 0) call.cancel();
    else if (statusOfAnswer(await call.ended) !== '4') throw new Error('no DEADLINE_EXCEEDED');
  },
  'the listener stops': async (_call, { server }) => server.stop(),
};

async function stage(more: Partial<ServeGrpcOptions> = {}): Promise<Scene> {
  const callee = new Silent();
  const clock = new VirtualClock();
  const options = { backend: callee, host: '127.0.0.1', port: 0, log, clock };
  const server = await serveGrpc({ ...options, ...more });
  return { callee, clock, server, client: new WireClient(server.port, 0) };
}

function leave({ client, server }: Scene): void {
  client.cut();
  server.stop();
}

for (const [ending, end] of Object.entries(ENDINGS)) {
  test(`unary, ${ending}: nothing is left, whatever had come`, async (t) => {
    for (const [state, reach] of Object.entries(STATES)) {
      const scene = await stage();
      const call = scene.client.call(UNARY, { 'grpc-timeout': `${TIMEOUT_MS}m` });
      await until(() => scene.server.held.deadlines === 1);
      await reach(call, scene);
      await end(call, scene);
      await until(() => scene.server.held.calls === 0);
      t.like(scene.server.held, NOTHING, state);
      t.is(scene.callee.cancelled, scene.callee.unaries.length, state);
      scene.callee.unaries[0]?.succeed(CHUNK);
      t.like(scene.server.held, NOTHING, state);
      leave(scene);
    }
  });

  test(`stream, ${ending}: nothing is left, whatever had come`, async (t) => {
    for (const [state, reach] of Object.entries(STREAM_STATES)) {
      const scene = await stage();
      const call = scene.client.call(STREAM, { 'grpc-timeout': `${TIMEOUT_MS}m` });
      await until(() => scene.server.held.deadlines === 1);
      await reach(call, scene);
      await end(call, scene);
      await until(() => scene.server.held.calls === 0);
      t.like(scene.server.held, NOTHING, state);
      t.is(scene.callee.cancelled, 1, state);
      t.false(scene.callee.streams[0]?.send(CHUNK));
      scene.callee.streams[0]?.resume();
      scene.callee.streams[0]?.end();
      t.like(scene.server.held, NOTHING, state);
      leave(scene);
    }
  });
}

test('an answer before the end of its request makes its caller stop', async (t) => {
  const scene = await stage();
  const { callee, server, client } = scene;
  const call = client.call(STREAM);
  call.message(CHUNK);
  await until(() => callee.messages === 1);
  callee.streams[0]?.end([['x-why', 'enough']]);
  const answer = await call.ended;
  t.is(statusOfAnswer(answer), '0');
  t.is(answer.resetCode, 0);
  t.is(answer.headers['x-why'], 'enough');
  await until(() => server.held.calls === 0);
  t.like(server.held, NOTHING);
  leave(scene);
});

test('an answer that waits for its caller is held until it is given up', async (t) => {
  const scene = await stage();
  const { callee, server, client } = scene;
  const call = client.call(UNARY);
  call.message(CHUNK);
  call.stream.end();
  await until(() => callee.unaries.length === 1);
  callee.unaries[0]?.succeed(Buffer.alloc(100_000));
  t.like(server.held, { calls: 1, requestBytes: 0, answerBytes: 100_005, deadlines: 0 });
  call.cancel();
  await until(() => server.held.calls === 0);
  t.like(server.held, NOTHING);
  t.is(callee.cancelled, 0, 'it was answered');
  leave(scene);
});

test('a drain lets calls run, ends streams early, and the rest at its end', async (t) => {
  const scene = await stage();
  const { callee, clock, server, client } = scene;
  const [stream, unary] = [client.call(STREAM), client.call(UNARY)];
  unary.message(CHUNK);
  unary.stream.end();
  await until(() => callee.streams.length + callee.unaries.length === 2);
  const drained = server.drain(5_000);
  await until(() => client.isTold);
  t.is(callee.cancelled, 0);
  clock.advance(STREAM_DRAIN_TIMEOUT_MS + 1);
  const ended = await stream.ended;
  t.is(statusOfAnswer(ended), '14');
  t.is(textOfAnswer(ended), 'server is shutting down');
  t.is(callee.cancelled, 1);
  clock.advance(5_000);
  t.is(textOfAnswer(await unary.ended), 'server is shutting down');
  t.is(callee.cancelled, 2);
  await drained;
  t.like(server.held, { ...NOTHING, connections: 0 });
});

test('a connection that has grown old is told to go, waited for, then ended', async (t) => {
  const limits = { connectionAgeMs: 60_000, connectionAgeGraceMs: 5_000 };
  const scene = await stage({ limits, random: () => 1 });
  const { callee, clock, server, client } = scene;
  const call = client.call(STREAM);
  await until(() => callee.streams.length === 1);
  clock.advance(65_000);
  t.false(client.isTold);
  clock.advance(1_010);
  await until(() => client.isTold);
  callee.streams[0]?.send(CHUNK);
  t.is(callee.cancelled, 0);
  clock.advance(5_010);
  t.is(callee.cancelled, 1);
  call.cancel();
  await until(() => server.held.connections === 0);
  t.like(server.held, NOTHING);
  leave(scene);
});
