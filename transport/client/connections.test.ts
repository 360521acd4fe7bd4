// How the client comes by its connections, uses several, loses them, and lets go of them.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import { makeCertificate } from '../../test/support/certificate.ts';
import { skip } from '../../test/support/skip.ts';
import { ConnectionLost, type UnaryCall } from '../backend.ts';
import { Callee, ECHO, HANG } from '../callee.contract.ts';
import { serveGrpc } from '../grpcjs/server.ts';
import { invokeUnary } from '../invoke.ts';
import { type ClientOptions, connectGrpc } from './client.ts';
import {
  addressOf,
  answer,
  failureOf,
  foreignServer,
  framed,
  PATH,
  type Script,
} from './foreign-server.contract.ts';

const log = createLog({ role: 'test', level: 'silent' });
const NOTHING = new Uint8Array();
const NOTHING_HELD = { connections: 0, calls: 0, waitingCalls: 0, waitingBytes: 0, timers: 0 };
const METHODS = new Map([[PATH, 'unary']] as const);
const connectTo = (address: string, more: Partial<ClientOptions> = {}) =>
  connectGrpc({ address, methods: METHODS, ...more });

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Holds every stream until told to answer. */
function holding() {
  const held: http2.ServerHttp2Stream[] = [];
  const script: Script = (stream) => {
    held.push(stream);
  };
  const answerAll = (): void => {
    for (const stream of held.splice(0)) {
      if (!stream.destroyed) answer(stream, framed('ok'));
    }
  };
  return { held, script, answerAll };
}

test('calls beyond a connection’s streams go over more connections, then wait', async (t) => {
  const { held, script, answerAll } = holding();
  const server = await foreignServer(script, { settings: { maxConcurrentStreams: 5 } });
  const client = connectTo(server.address, { maxConnections: 3 });
  let answered = 0;
  const calls = Array.from({ length: 40 }, async () => {
    await invokeUnary(client, PATH, NOTHING);
    answered++;
  });
  await until(() => held.length === 15);
  t.like(client.held, { connections: 3, calls: 15, waitingCalls: 25 });
  t.is(server.accepted(), 3);
  t.is(answered, 0);
  while (answered < 40) {
    t.true(held.length <= 15);
    answerAll();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(calls);
  t.is(server.accepted(), 3);
  t.like(client.held, { connections: 3, calls: 0, waitingCalls: 0, waitingBytes: 0 });
  await client.drain();
  t.deepEqual(client.held, NOTHING_HELD);
  await server.stop();
});

test('nobody listens: ConnectionLost, surely not run; at once while it pauses', async (t) => {
  const probe = net.createServer();
  const { address, port } = await addressOf(probe);
  probe.close();
  const client = connectTo(address);
  const first = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
  t.true(first instanceof ConnectionLost && !first.mayHaveRun);
  t.regex(first.message, new RegExp(`${address}: cannot connect: .*ECONNREFUSED`));
  t.is(client.state(), 'failed');
  const second = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
  t.true(second instanceof ConnectionLost && !second.mayHaveRun);
  const { script, held, answerAll } = holding();
  const late = http2.createServer();
  late.on('stream', (stream, headers) =>
    script(stream, headers, {} as http2.ServerHttp2Session, []),
  );
  late.listen(port, '127.0.0.1');
  await once(late, 'listening');
  await until(() => client.state() === 'ready');
  const call = invokeUnary(client, PATH, NOTHING);
  await until(() => held.length === 1);
  answerAll();
  t.is((await call).response.length, 2);
  client.close();
  late.close();
});

test('a server that never speaks, or speaks HTTP/1, fails the attempt', async (t) => {
  const sockets: net.Socket[] = [];
  const mute = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  const silent = connectTo((await addressOf(mute)).address, { connectTimeoutMs: 40 });
  const error = await failureOf(invokeUnary(silent, PATH, NOTHING), Code.UNAVAILABLE);
  t.true(error instanceof ConnectionLost && !error.mayHaveRun);
  t.regex(error.message, /no connection within 40 ms/);
  await until(() => sockets.every((socket) => socket.destroyed));
  mute.close();

  const old = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  const client = connectTo((await addressOf(old)).address);
  const other = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
  t.true(other instanceof ConnectionLost && !other.mayHaveRun);
  old.close();
  for (const one of [silent, client]) one.close();
});

test('a call that waits for a connection keeps its deadline, and can be cancelled', async (t) => {
  const mute = net.createServer((socket) => socket.on('error', () => {}).resume());
  const client = connectTo((await addressOf(mute)).address, { connectTimeoutMs: 60_000 });
  const failed = Promise.withResolvers<unknown>();
  const call: UnaryCall = {
    path: PATH,
    metadata: [],
    deadlineMs: performance.now() + 30,
    peer: 'local',
    isCancelled: false,
    onCancel: undefined,
    request: NOTHING,
    succeed: () => failed.reject(new Error('succeeded')),
    fail: failed.resolve,
  };
  client.unary(call);
  const error = (await failed.promise) as ConnectionLost;
  t.is(error.code, Code.DEADLINE_EXCEEDED);
  t.true(performance.now() >= call.deadlineMs);
  const controller = new AbortController();
  const waiting = failureOf(invokeUnary(client, PATH, NOTHING, { signal: controller.signal }));
  controller.abort();
  t.is((await waiting).code, Code.CANCELLED);
  const past = failureOf(invokeUnary(client, PATH, NOTHING, { timeoutMs: 0 }));
  t.is((await past).code, Code.DEADLINE_EXCEEDED);
  client.close();
  mute.close();
});

test('GOAWAY: calls above its last stream are safe to send again, those below go on', async (t) => {
  const { held, script, answerAll } = holding();
  const server = await foreignServer(script);
  const client = connectTo(server.address);
  const calls = [1, 2, 3].map(() => invokeUnary(client, PATH, NOTHING));
  await until(() => held.length === 3);
  const [first] = held;
  first?.session?.goaway(0, first.id);
  const lost = await Promise.all(calls.slice(1).map((call) => failureOf(call, Code.UNAVAILABLE)));
  for (const error of lost) t.true(error instanceof ConnectionLost && !error.mayHaveRun);
  const later = invokeUnary(client, PATH, NOTHING);
  await until(() => held.length === 4);
  t.is(server.accepted(), 2, 'a new connection for new calls');
  answerAll();
  t.is((await calls[0])?.response.length, 2);
  t.is((await later).response.length, 2);
  client.close();
  await server.stop();
});

test('a server that falls silent is noticed, and its calls are lost', async (t) => {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {}).resume();
    // Empty SETTINGS, then nothing more, not even for pings.
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  });
  const { address } = await addressOf(server);
  const client = connectTo(address, { keepalive: { timeMs: 20, timeoutMs: 30 } });
  await until(() => client.state() === 'ready');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.is(client.state(), 'ready', 'without calls nobody is asked');
  const error = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
  t.true(error instanceof ConnectionLost && error.mayHaveRun);
  t.regex(error.message, /gone silent/);
  client.close();
  for (const socket of sockets) socket.destroy();
  server.close();
});

test('TLS: its own certificate and the server’s name count; h2 must be agreed on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-client-tls-'));
  try {
    if (!makeCertificate(folder)) return skip(t, 'no openssl');
    const callee = new Callee();
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const tls = { certFile, keyFile, clientCaFile: certFile };
    const server = await serveGrpc({ backend: callee, host: '127.0.0.1', port: 0, log, tls });
    const { address } = server;
    const good = { caFile: certFile, certFile, keyFile, serverName: 'localhost' };
    const known = connectTo(address, { tls: good });
    t.is(
      (
        await invokeUnary(
          { ...known, methods: callee.methods, unary: (call) => known.unary(call) },
          ECHO,
          Uint8Array.of(1),
        )
      ).response.length,
      1,
    );
    const stranger = connectTo(address, { tls: { ...good, serverName: 'elsewhere' } });
    const error = await failureOf(invokeUnary(stranger, PATH, NOTHING), Code.UNAVAILABLE);
    t.regex(error.message, /cannot connect: .*elsewhere/);
    const { caFile, serverName } = good;
    const nameless = connectTo(address, { tls: { caFile, serverName } });
    t.true((await failureOf(invokeUnary(nameless, PATH, NOTHING))) instanceof ConnectionLost);
    t.throws(() => connectTo(address, { tls: { caFile: '/none.pem' } }), { message: /none\.pem/ });
    for (const client of [known, stranger, nameless]) client.close();
    server.stop();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const resources = (): number =>
  process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;

test.serial('drain lets calls end and close ends them; nothing is left behind', async (t) => {
  const callee = new Callee();
  const server = await serveGrpc({ backend: callee, host: '127.0.0.1', port: 0, log });
  const before = resources();
  const make = () => connectGrpc({ address: server.address, methods: callee.methods });
  const drained = make();
  const answer = invokeUnary(drained, HANG, NOTHING);
  const call = await callee.hanging.happened;
  const done = drained.drain();
  const refused = await failureOf(invokeUnary(drained, ECHO, NOTHING), Code.UNAVAILABLE);
  t.true(refused instanceof ConnectionLost && !refused.mayHaveRun);
  call.succeed(Uint8Array.of(9));
  t.deepEqual([...(await answer).response], [9]);
  await done;
  t.is(drained.state(), 'failed');

  const closed = make();
  const lost = failureOf(invokeUnary(closed, HANG, NOTHING));
  await until(() => closed.state() === 'ready');
  closed.close();
  t.true((await lost) instanceof ConnectionLost);
  await closed.drain();
  const dialing = make();
  t.is(dialing.state(), 'connecting');
  const unsent = failureOf(invokeUnary(dialing, ECHO, NOTHING));
  dialing.close();
  const error = await unsent;
  t.true(error instanceof ConnectionLost && !error.mayHaveRun, error.message);
  await dialing.drain();
  for (const client of [drained, closed, dialing]) t.deepEqual(client.held, NOTHING_HELD);
  server.stop();
  await until(() => resources() <= before);
});

test('addresses that are none are refused, with what is one', (t) => {
  for (const address of ['', 'host', 'host:', 'host:0', 'host:70000', '::1:80', 'a b:1:2']) {
    t.throws(() => connectTo(address), { message: /is not host:port/ }, address);
  }
  for (const address of ['host:80', '[::1]:80', '10.0.0.1:1']) connectTo(address).close();
});
