// What callers meet at the limits of a listener, and that others don't notice.
import '../../test/support/poison-reads.ts';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import type { Backend, UnaryCall } from '../backend.ts';
import { PREFIX_BYTES } from '../grpc/message-prefix.ts';
import { DEFAULT_LIMITS } from '../http2/connection/limits.ts';
import { FAIR_BYTES } from './byte-budget.ts';
import { REFUSAL_LINGER_MS } from './refused-request.ts';
import { type OwnGrpcListener, type ServeGrpcOptions, serveGrpc } from './serve-grpc.ts';
import type { ServerLimitName } from './server-limits.ts';
import { statusOfAnswer, textOfAnswer, WireClient } from './wire-client.ts';

const log = createLog({ role: 'test', level: 'silent' });
const ECHO = '/a.B/Echo';
const GROW = '/a.B/Grow';
const HANG = '/a.B/Hang';
const SMALL = Buffer.from('small');
const MIB = 1024 * 1024;

class Callee implements Backend {
  readonly methods = new Map([ECHO, GROW, HANG].map((path) => [path, 'unary'] as const));
  readonly hanging: UnaryCall[] = [];

  unary(call: UnaryCall): void {
    if (call.path === HANG) this.hanging.push(call);
    else call.succeed(call.path === ECHO ? call.request : Buffer.alloc(400_000));
  }

  stream(): void {}
}

interface Scene {
  readonly server: OwnGrpcListener;
  readonly callee: Callee;
  readonly crossed: ServerLimitName[];
  dial(windowBytes?: number): WireClient;
  end(): void;
}

async function stage(more: Partial<ServeGrpcOptions> = {}): Promise<Scene> {
  const crossed: ServerLimitName[] = [];
  const callee = new Callee();
  const onLimit = (name: ServerLimitName): void => void crossed.push(name);
  const options = { backend: callee, host: '127.0.0.1', port: 0, log, onLimit, ...more };
  const server = await serveGrpc(options);
  const clients: WireClient[] = [];
  return {
    server,
    callee,
    crossed,
    dial(windowBytes) {
      const client = new WireClient(server.port, windowBytes);
      clients.push(client);
      return client;
    },
    end() {
      for (const client of clients) client.cut();
      server.stop();
    },
  };
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await turn();
}

test('uploads that fill the memory are refused, small calls go on', async (t) => {
  // Two of the eight fit, and fill it to the last byte.
  const requestBytes = 2 * (300_000 + PREFIX_BYTES);
  const { server, dial, crossed, end } = await stage({ limits: { requestBytes } });
  const [greedy, honest] = [dial(), dial()];
  const calls = Array.from({ length: 8 }, () => {
    const call = greedy.call(ECHO);
    call.begin(400_000, Buffer.alloc(300_000));
    return call;
  });
  const refused = calls.map(({ ended }) => ended);
  const first = await Promise.race(refused);
  t.is(statusOfAnswer(first), String(Code.RESOURCE_EXHAUSTED));
  t.regex(textOfAnswer(first), /limit of 600010 bytes of requests/);
  t.true(crossed.includes('request_bytes'));
  for (let at = 0; at < 50; at += 1) {
    t.true(server.held.requestBytes <= requestBytes + FAIR_BYTES);
    t.is(statusOfAnswer(await honest.ask(ECHO, SMALL)), '0');
  }
  greedy.cut();
  await until(() => server.held.connections === 1);
  t.is(server.held.requestBytes, 0);
  end();
});

test('answers that nobody takes are bounded, small calls go on', async (t) => {
  const { server, dial, crossed, end } = await stage({ limits: { answerBytes: MIB } });
  const [greedy, honest] = [dial(0), dial()];
  const calls = Array.from({ length: 8 }, () => greedy.ask(GROW, SMALL));
  const first = await Promise.race(calls);
  t.is(statusOfAnswer(first), String(Code.RESOURCE_EXHAUSTED));
  t.regex(textOfAnswer(first), /limit of 1048576 bytes of answers/);
  t.true(crossed.includes('answer_bytes'));
  t.true(server.held.answerBytes <= MIB);
  t.is(statusOfAnswer(await honest.ask(ECHO, SMALL)), '0');
  greedy.cut();
  await until(() => server.held.connections === 1);
  t.is(server.held.answerBytes, 0);
  end();
});

test('messages above the limit: told at their prefix, and when they inflate to it', async (t) => {
  const { server, dial, crossed, end } = await stage({ limits: { messageBytes: MIB } });
  const client = dial();
  const announced = client.call(ECHO);
  announced.begin(MIB + 1);
  const told = await announced.ended;
  t.is(statusOfAnswer(told), String(Code.RESOURCE_EXHAUSTED));
  t.regex(textOfAnswer(told), /1048577 bytes is larger than the limit of 1048576/);
  const bomb = gzipSync(Buffer.alloc(64 * MIB));
  for (const bytes of [bomb, gzipSync(Buffer.alloc(MIB + 1))]) {
    const call = client.call(ECHO, { 'grpc-encoding': 'gzip' });
    call.message(bytes, true);
    call.stream.end();
    const answer = await call.ended;
    t.is(statusOfAnswer(answer), String(Code.RESOURCE_EXHAUSTED));
    t.regex(textOfAnswer(answer), /inflates to more than the limit of 1048576/);
  }
  t.is(crossed.filter((name) => name === 'message_bytes').length, 3);
  await until(() => server.held.calls === 0);
  t.like(server.held, { requestBytes: 0, deadlines: 0 });
  end();
});

test('wrong encodings and broken messages end their call with what is wrong', async (t) => {
  const { server, dial, end } = await stage();
  const client = dial();
  const unknown = await client.ask(ECHO, SMALL, { 'grpc-encoding': 'snappy' });
  t.is(statusOfAnswer(unknown), String(Code.UNIMPLEMENTED));
  t.is(unknown.headers['grpc-accept-encoding'], 'identity,gzip');
  const cases: [write: Buffer, code: Code, text: RegExp][] = [
    [Buffer.from([1, 0, 0, 0, 1, 7]), Code.INTERNAL, /grpc-encoding names no compression/],
    [Buffer.from([9, 0, 0, 0, 0]), Code.INTERNAL, /flag 9/],
    [Buffer.from([0, 0, 0, 0, 5, 1]), Code.INTERNAL, /content ended inside a message/],
    [Buffer.from([0, 0]), Code.INTERNAL, /in its prefix/],
    [Buffer.alloc(0), Code.UNIMPLEMENTED, /takes one request, got none/],
    [Buffer.alloc(10), Code.UNIMPLEMENTED, /takes one request, got more/],
  ];
  for (const [bytes, code, text] of cases) {
    const call = client.call(ECHO);
    call.stream.end(bytes);
    const answer = await call.ended;
    t.is(statusOfAnswer(answer), String(code), String(text));
    t.regex(textOfAnswer(answer), text);
  }
  const corrupt = client.call(ECHO, { 'grpc-encoding': 'gzip' });
  corrupt.message(SMALL, true);
  corrupt.stream.end();
  t.regex(textOfAnswer(await corrupt.ended), /marked as gzip is none/);
  t.like(server.held, { calls: 0, requestBytes: 0, deadlines: 0 });
  end();
});

test('too many headers: RESOURCE_EXHAUSTED for gRPC, 431 for others', async (t) => {
  const { dial, crossed, end } = await stage();
  const client = dial();
  const large = 'x'.repeat(20_000);
  const grpc = await client.ask(ECHO, SMALL, { 'x-large': large });
  t.is(statusOfAnswer(grpc), String(Code.RESOURCE_EXHAUSTED));
  t.regex(textOfAnswer(grpc), /limit/);
  const other = await client.ask(ECHO, SMALL, { 'content-type': 'text/html', 'x-large': large });
  t.is(other.headers[':status'], 431);
  t.deepEqual(crossed, ['header_list_bytes', 'header_list_bytes']);
  t.is(statusOfAnswer(await client.ask(ECHO, SMALL)), '0');
  end();
});

test('what is no gRPC call is answered in plain HTTP, and cut off if it goes on', async (t) => {
  const clock = new VirtualClock();
  const { server, dial, end } = await stage({ clock });
  const client = dial();
  const wrong = await client.ask(ECHO, SMALL, { 'content-type': 'application/json' });
  t.is(wrong.headers[':status'], 415);
  t.regex(wrong.content.toString(), /application\/grpc/);
  t.is((await client.ask(ECHO, SMALL, { ':method': 'PUT' })).headers[':status'], 405);
  const head = await client.ask(ECHO, SMALL, { ':method': 'HEAD' });
  t.is(head.headers[':status'], 405);
  t.is(head.content.length, 0);
  await until(() => server.held.calls === 0);
  t.is(server.held.deadlines, 0);
  const endless = client.call(ECHO, { 'content-type': 'application/json' });
  await once(endless.stream, 'response');
  endless.stream.resume();
  t.like(server.held, { calls: 1, deadlines: 1 });
  clock.advance(REFUSAL_LINGER_MS + 10);
  await endless.ended;
  t.like(server.held, { calls: 0, deadlines: 0 });
  end();
});

test('deadlines: far ones are kept, past ones never begin, none other is one', async (t) => {
  const { callee, dial, end } = await stage();
  const client = dial();
  const call = client.call(HANG, { 'grpc-timeout': '99999999H' });
  call.message(SMALL);
  call.stream.end();
  await until(() => callee.hanging.length === 1);
  t.true((callee.hanging[0]?.deadlineMs ?? 0) > 1e14);
  for (let at = 0; at < 20; at += 1) await turn();
  t.false(callee.hanging[0]?.isCancelled);
  callee.hanging[0]?.succeed(SMALL);
  t.is(statusOfAnswer(await call.ended), '0');
  const late = await client.ask(HANG, SMALL, { 'grpc-timeout': '0n' });
  t.is(statusOfAnswer(late), String(Code.DEADLINE_EXCEEDED));
  t.is(callee.hanging.length, 1);
  const none = await client.ask(HANG, SMALL, { 'grpc-timeout': 'soon' });
  t.is(statusOfAnswer(none), String(Code.INTERNAL));
  t.regex(textOfAnswer(none), /grpc-timeout is "soon"/);
  end();
});

test('connections above the limit are closed and counted', async (t) => {
  const { server, dial, crossed, end } = await stage({ limits: { connections: 1 } });
  const client = dial();
  t.is(statusOfAnswer(await client.ask(ECHO, SMALL)), '0');
  const second = connectTcp(server.port, '127.0.0.1');
  second.on('error', () => {});
  await once(second, 'close');
  t.deepEqual(crossed, ['connections']);
  t.is(statusOfAnswer(await client.ask(ECHO, SMALL)), '0');
  end();
});

test('calls of a connection above its limit are refused, to be tried again', async (t) => {
  const connection = { limits: { ...DEFAULT_LIMITS, concurrentStreams: 2 } };
  const { callee, server, dial, crossed, end } = await stage({ connection });
  const client = dial();
  // Before the settings have come a client knows of no limit.
  const answers = [1, 2, 3].map(() => client.ask(HANG, SMALL));
  const refused = await Promise.race(answers);
  t.is(refused.resetCode, 7, 'REFUSED_STREAM');
  await until(() => callee.hanging.length === 2);
  t.deepEqual(crossed, ['concurrent_streams']);
  for (const call of callee.hanging) call.succeed(SMALL);
  const codes = (await Promise.all(answers)).map(statusOfAnswer);
  t.deepEqual(codes.toSorted(), ['0', '0', 'none']);
  t.is(server.held.calls, 0);
  end();
});
