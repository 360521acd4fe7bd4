// Calls that are passed on as they are: a proxy of a few lines between our client and our server
// must carry all that the two carry without it.
import '../../test/support/poison-reads.ts';
import { once } from 'node:events';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import test from 'ava';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { invokeUnary } from '../invoke.ts';
import type { RawCaller } from '../raw-call.ts';
import { connectGrpc, STREAM_WINDOW_BYTES } from './client.ts';
import {
  addressOf,
  answer,
  foreignServer,
  framed,
  GRPC_HEAD,
  PATH,
  type Script,
} from './foreign-server.contract.ts';

type Heard = readonly [what: string, ...details: unknown[]];

/** Keeps what it hears; consumes nothing by itself. */
class Listener implements RawCaller {
  readonly heard: Heard[] = [];
  bytes = 0;
  onAnswerHeaders(fields: readonly HeaderField[], isEnd: boolean): void {
    this.heard.push(['headers', fields[0]?.value, isEnd]);
  }
  onAnswerData(_bytes: Uint8Array, start: number, end: number): void {
    this.bytes += end - start;
  }
  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.heard.push(['trailers', ...fields.map(({ name, value }) => `${name}: ${value}`)]);
  }
  onAnswerLost(code: number, isUnprocessed: boolean, why: string): void {
    this.heard.push(['lost', code, isUnprocessed, why]);
  }
  onRequestWritable(): void {
    this.heard.push(['writable']);
  }
}

const FIELDS = [
  headerField('content-type', 'application/grpc'),
  headerField('x-key', 'kept', true),
  headerField('x-data-bin', 'AP8'),
];
const METHODS = new Map([[PATH, 'unary']] as const);
const settle = async (): Promise<void> => {
  for (let at = 0; at < 50; at++) await new Promise((resolve) => setImmediate(resolve));
};
async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('fields go as they are, with the time left; the answer comes back as it is', async (t) => {
  const seen = Promise.withResolvers<Record<string, unknown>>();
  const script: Script = (stream, headers) => {
    seen.resolve(headers);
    stream.resume();
    stream.on('end', () => answer(stream, framed('ok')));
  };
  const server = await foreignServer(script);
  const client = connectGrpc({ address: server.address, methods: METHODS });
  const listener = new Listener();
  const request = client.open(PATH, FIELDS, performance.now() + 60_000, listener);
  t.false(request.sendData(framed('a'), false), 'there is no connection yet');
  request.sendData(framed('b'), true);
  t.deepEqual(listener.heard, []);
  await until(() => listener.heard.length === 2);
  t.deepEqual(listener.heard, [
    ['headers', '200', false],
    ['trailers', 'grpc-status: 0'],
  ]);
  t.is(listener.bytes, 7);
  request.consumeAnswer(7);
  const headers = await seen.promise;
  t.is(headers[':path'], PATH);
  t.is(headers['x-key'], 'kept');
  t.is(headers['x-data-bin'], 'AP8');
  t.regex(String(headers['grpc-timeout']), /^\d{5}m$/);
  t.deepEqual(headers[http2.sensitiveHeaders as unknown as string], ['x-key'], 'never indexed');
  client.close();
  await server.stop();
});

test('what is not consumed is not sent: a window is all that is held', async (t) => {
  const sending: ServerHttp2Stream[] = [];
  const script: Script = (stream) => {
    sending.push(stream);
    stream.respond(GRPC_HEAD);
    stream.write(Buffer.alloc(10_000_000));
  };
  const server = await foreignServer(script);
  const client = connectGrpc({ address: server.address, methods: METHODS });
  const listener = new Listener();
  const request = client.open(PATH, FIELDS, Number.POSITIVE_INFINITY, listener);
  request.sendData(framed(''), true);
  await until(() => listener.bytes === STREAM_WINDOW_BYTES);
  await settle();
  t.is(listener.bytes, STREAM_WINDOW_BYTES, 'the window of a stream');
  request.consumeAnswer(STREAM_WINDOW_BYTES);
  await until(() => listener.bytes === 3 * STREAM_WINDOW_BYTES);
  request.reset(ErrorCode.CANCEL);
  const [stream] = sending;
  if (stream !== undefined && !stream.closed) await once(stream, 'close');
  t.deepEqual(listener.heard, [['headers', '200', false]]);
  t.is(stream?.rstCode, 8);
  client.close();
  await server.stop();
});

test('calls that nobody takes the answers of keep no other from its own', async (t) => {
  const script: Script = (stream) => answer(stream, framed(Buffer.alloc(1_000_000)));
  const server = await foreignServer(script, { maxSessionMemory: 1_000 });
  const client = connectGrpc({ address: server.address, methods: METHODS, maxConnections: 1 });
  const slow = Array.from({ length: 90 }, () => {
    const listener = new Listener();
    const request = client.open(PATH, FIELDS, Number.POSITIVE_INFINITY, listener);
    request.sendData(framed(''), true);
    return { listener, request };
  });
  await until(() => slow.every(({ listener }) => listener.bytes === STREAM_WINDOW_BYTES));
  const { response } = await invokeUnary(client, PATH, new Uint8Array());
  t.is(response.length, 1_000_000);
  t.is(server.accepted(), 1);
  for (const { listener, request } of slow) {
    t.is(listener.bytes, STREAM_WINDOW_BYTES);
    request.reset(ErrorCode.CANCEL);
  }
  t.is(client.held.calls, 0);
  client.close();
  await server.stop();
});

test('resets and losses are told, with what they allow; nothing from within open()', async (t) => {
  const script: Script = (stream, headers, session) => {
    const how = String(headers['x-how']);
    if (how === 'cut') session.socket.destroy();
    else stream.close(Number(how));
  };
  const server = await foreignServer(script);
  const client = connectGrpc({ address: server.address, methods: METHODS });
  const lossOf = async (how: string): Promise<Heard | undefined> => {
    const listener = new Listener();
    const fields = [...FIELDS, headerField('x-how', how)];
    client.open(PATH, fields, Number.POSITIVE_INFINITY, listener);
    t.deepEqual(listener.heard, []);
    const losses = () => listener.heard.filter(([what]) => what === 'lost');
    await until(() => losses().length > 0);
    return losses()[0]?.slice(0, 3) as unknown as Heard;
  };
  t.deepEqual(await lossOf('7'), ['lost', 7, true]);
  t.deepEqual(await lossOf('2'), ['lost', 2, false]);
  t.deepEqual(await lossOf('cut'), ['lost', 8, false]);
  const probe = net.createServer();
  const { address } = await addressOf(probe);
  probe.close();
  const absent = connectGrpc({ address, methods: METHODS });
  for (let at = 0; at < 2; at++) {
    const listener = new Listener();
    absent.open(PATH, FIELDS, Number.POSITIVE_INFINITY, listener);
    t.deepEqual(listener.heard, []);
    await until(() => listener.heard.length > 0);
    t.like(listener.heard[0], ['lost', 7, true]);
  }
  absent.close();
  client.close();
  await server.stop();
});

test('a call that waits for a connection can be given up', async (t) => {
  const mute = net.createServer((socket) => socket.on('error', () => {}).resume());
  const { address } = await addressOf(mute);
  const client = connectGrpc({ address, methods: METHODS });
  const listener = new Listener();
  const request = client.open(PATH, FIELDS, Number.POSITIVE_INFINITY, listener);
  request.reset(ErrorCode.CANCEL);
  client.close();
  await settle();
  t.deepEqual(listener.heard, []);
  mute.close();
});
