// Our two ends against those of node:http2, over sockets on this machine: what one says, the other
// understands, in both directions.
import '../../../test/support/poison-reads.ts';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { duplexPair } from 'node:stream';
import test from 'ava';
import { Connection } from '../connection/connection.ts';
import { CollectHandler, EchoHandler } from '../connection/echo-handler.ts';
import { connectionOptions } from '../connection/options.ts';
import type { Stream } from '../connection/stream.ts';
import { headerField } from '../hpack/header-field.ts';
import { ConnectionSocket } from './connection-socket.ts';

const nowMs = (): number => performance.now();

function sizeOf(call: number): number {
  return call % 10 === 0 ? 700_000 + call : call * 37;
}

function contentOf(call: number): Buffer {
  return Buffer.alloc(sizeOf(call), `call ${call} `);
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function listening(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

interface EchoServer {
  readonly port: number;
  readonly handlers: EchoHandler[];
  readonly connections: Connection[];
  readonly shells: ConnectionSocket[];
  readonly close: () => Promise<void>;
}

async function echoServer(): Promise<EchoServer> {
  const handlers: EchoHandler[] = [];
  const connections: Connection[] = [];
  const shells: ConnectionSocket[] = [];
  const server = net.createServer((socket) => {
    const handler = new EchoHandler();
    const connection = new Connection(connectionOptions(true), handler, nowMs());
    handler.serve(connection);
    handlers.push(handler);
    connections.push(connection);
    shells.push(new ConnectionSocket(socket, connection, nowMs));
  });
  const port = await listening(server);
  const close = async (): Promise<void> => {
    for (const shell of shells) shell.destroy();
    server.close();
    await once(server, 'close');
  };
  return { port, handlers, connections, shells, close };
}

function nodeCall(session: http2.ClientHttp2Session, call: number): Promise<string> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/call/${call}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    'x-call': 'x'.repeat(call * 3),
  });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('trailers', (headers) => {
      trailers = headers;
    });
    stream.on('end', () => resolve(`${trailers['grpc-status']} ${sha(Buffer.concat(chunks))}`));
    stream.on('error', reject);
    stream.end(contentOf(call));
  });
}

test("node's client at our server: many calls at once, small and large", async (t) => {
  const server = await echoServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  const calls = Array.from({ length: 60 }, (_, at) => at + 1);
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(calls.map((call) => nodeCall(session, call)));
    t.deepEqual(
      answers,
      calls.map((call) => `0 ${sha(contentOf(call))}`),
    );
  }
  const closed = once(session, 'close');
  session.close();
  await closed;
  t.is(server.handlers[0]?.failure, undefined);
  t.is(server.connections[0]?.openStreams, 0);
  await server.close();
});

test("node's client is told of a drain, its calls run to their end", async (t) => {
  const server = await echoServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  t.is(await nodeCall(session, 1), `0 ${sha(contentOf(1))}`);
  const closed = once(session, 'close');
  const last = nodeCall(session, 20);
  server.shells[0]?.drain();
  t.is(await last, `0 ${sha(contentOf(20))}`);
  await closed;
  await server.close();
});

test("node's client that cancels leaves nothing behind", async (t) => {
  const server = await echoServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  for (let round = 0; round < 20; round++) {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.on('error', () => {});
    stream.write(Buffer.alloc(20_000));
    if (round % 2 === 0) await once(stream, 'data');
    const closed = once(stream, 'close');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await closed;
  }
  t.is(await nodeCall(session, 3), `0 ${sha(contentOf(3))}`);
  t.is(server.connections[0]?.openStreams, 0);
  t.is(server.connections[0]?.heldBytes, 0);
  session.destroy();
  await server.close();
});

function echoOnNode(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  stream.respond({ ':status': 200, 'x-path': headers[':path'] ?? '' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.on('error', () => {});
  stream.pipe(stream);
}

test("our client at node's server: many calls at once, small and large", async (t) => {
  const server = http2.createServer();
  server.on('stream', echoOnNode);
  const port = await listening(server as unknown as net.Server);
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');

  const waiting = new Map<Stream, () => void>();
  const handler = new CollectHandler(
    (stream, bytes) => connection.consume(stream, bytes),
    (stream) => waiting.get(stream)?.(),
  );
  const connection: Connection = new Connection(connectionOptions(false), handler, nowMs());
  const shell = new ConnectionSocket(socket, connection, nowMs);
  const call = async (number: number): Promise<string> => {
    const fields = [
      headerField(':method', 'POST'),
      headerField(':scheme', 'http'),
      headerField(':path', `/call/${number}`),
      headerField(':authority', 'localhost'),
      headerField('x-call', 'y'.repeat(number * 3)),
    ];
    const stream = connection.open(fields, false);
    if (stream === undefined) throw new Error('no stream');
    const over = new Promise<void>((resolve) => waiting.set(stream, resolve));
    connection.sendData(stream, contentOf(number), true);
    shell.wake();
    await over;
    const answer = handler.answerOf(stream);
    const status = answer.trailers?.fields.find((field) => field.name === 'grpc-status')?.value;
    const path = answer.headers?.fields.find((field) => field.name === 'x-path')?.value;
    return `${path} ${status} ${sha(Buffer.concat(answer.chunks))}`;
  };
  const calls = Array.from({ length: 60 }, (_, at) => at + 1);
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(calls.map(call));
    t.deepEqual(
      answers,
      calls.map((number) => `/call/${number} 0 ${sha(contentOf(number))}`),
    );
  }
  t.is(handler.failure, undefined);
  t.is(connection.heldBytes, 0);
  const closed = once(socket, 'close');
  shell.drain();
  await closed;
  server.close();
  await once(server, 'close');
});

/** Answers with headers alone, which no window holds back. */
class WordyHandler extends EchoHandler {
  #connection: Connection | undefined;

  override serve(connection: Connection): void {
    this.#connection = connection;
  }

  override onHeaders(stream: Stream): void {
    const fields = [headerField(':status', '200'), headerField('x-long', 'x'.repeat(3_000))];
    this.#connection?.sendHeaders(stream, fields, true);
  }
}

test('a peer that reads nothing is not read from either, and loses nothing', async (t) => {
  const [ours, theirs] = duplexPair({ highWaterMark: 4096 });
  const handler = new WordyHandler();
  const connection = new Connection(connectionOptions(true), handler, nowMs());
  handler.serve(connection);
  new ConnectionSocket(ours, connection, nowMs);
  const collected = new CollectHandler((stream, bytes) => client.consume(stream, bytes));
  const client: Connection = new Connection(connectionOptions(false), collected, nowMs());
  const request = [':method POST', ':scheme http', ':path /', ':authority a']
    .map((line) => line.split(' '))
    .map(([name = '', value = '']) => headerField(name, value));
  for (let call = 0; call < 3_000; call++) {
    client.open(request, true);
    for (const chunk of client.take()) theirs.write(chunk);
  }
  t.true(theirs.writableNeedDrain);
  t.is(handler.failure, undefined);
  t.true(handler.done < 2_000);
  const allDone = new Promise<void>((resolve) => {
    theirs.on('data', (chunk: Buffer) => {
      client.receive(chunk, nowMs());
      if (collected.done === 3_000) resolve();
    });
  });
  await allDone;
  t.is(handler.failure, undefined);
  ours.destroy();
  theirs.destroy();
});

test('two ends with more to write than a pipe holds do not wait for each other', async (t) => {
  const [ours, theirs] = duplexPair({ highWaterMark: 4096 });
  const echo = new EchoHandler();
  const server = new Connection(connectionOptions(true), echo, nowMs());
  echo.serve(server);
  new ConnectionSocket(ours, server, nowMs);
  const sizeBytes = 3_000_000;
  let wake = (): void => {};
  const ended = new Promise<Stream>((resolve) => {
    const consume = (stream: Stream, bytes: number) => client.consume(stream, bytes);
    const collected = new CollectHandler(consume, resolve);
    const client: Connection = new Connection(connectionOptions(false), collected, nowMs());
    const shell = new ConnectionSocket(theirs, client, nowMs);
    const request = [':method POST', ':scheme http', ':path /', ':authority a']
      .map((line) => line.split(' '))
      .map(([name = '', value = '']) => headerField(name, value));
    const stream = client.open(request, false);
    if (stream !== undefined) client.sendData(stream, Buffer.alloc(sizeBytes), true);
    wake = () => shell.wake();
  });
  wake();
  const stream = await ended;
  t.false(stream.isReset);
  t.is(stream.receivedBytes, sizeBytes);
  ours.destroy();
  theirs.destroy();
});

test('a socket that is destroyed takes its streams with it', async (t) => {
  const server = await echoServer();
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  session.on('error', () => {});
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  stream.on('error', () => {});
  stream.write('hello');
  await once(stream, 'data');
  t.is(server.connections[0]?.openStreams, 1);
  server.shells[0]?.destroy();
  await once(session, 'close');
  await server.close();
  t.is(server.connections[0]?.openStreams, 0);
  t.is(server.handlers[0]?.resets, 1);
});

test('who goes on behind the end of its connection is not read for long', async (t) => {
  const [ours, theirs] = duplexPair();
  const connection = new Connection(connectionOptions(true), new EchoHandler(), nowMs());
  // Bytes are to end it here, however slowly a busy machine lets them come.
  new ConnectionSocket(ours, connection, nowMs).lingerMs = 60_000;
  ours.on('error', () => {});
  theirs.on('error', () => {});
  let sentBytes = 0;
  const write = (): void => {
    sentBytes += 400_000;
    if (sentBytes > 20_000_000) ours.destroy();
    theirs.write(Buffer.alloc(400_000), () => setImmediate(write));
  };
  theirs.write('no HTTP/2 at all, and no end', write);
  await once(ours, 'close');
  t.true(sentBytes > 1_000_000, 'some is read, or GOAWAY may not arrive');
  t.true(sentBytes < 2_000_000);
});

test('who speaks another protocol is told and cut off', async (t) => {
  const server = await echoServer();
  const socket = net.connect(server.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(socket, 'close');
  t.true(Buffer.concat(chunks).includes("the client's preface is another"));
  await server.close();
});
