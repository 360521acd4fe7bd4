// What a client needs for many calls alike: heads in a constant and a varying part, messages with
// a prefix, word of when streams can be opened, and no pings while nobody calls.
import test from 'ava';
import fc from 'fast-check';
import { ErrorCode } from '../frames/constants.ts';
import type { HeaderField } from '../hpack/header-field.ts';
import { headerField } from '../hpack/header-field.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import { Connection } from './connection.ts';
import type { ConnectionOptions } from './connection-state.ts';
import { CollectHandler } from './echo-handler.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { connectionOptions } from './options.ts';
import type { Stream } from './stream.ts';

class Requests extends CollectHandler {
  readonly heads: string[][] = [];
  readonly streams: Stream[] = [];
  openable = 0;

  override onHeaders(stream: Stream, headers: HeaderList): void {
    this.streams.push(stream);
    this.heads.push(headers.fields.map(({ name, value }) => `${name}: ${value}`));
  }
  override onOpenable(): void {
    this.openable++;
  }
}

function pair(serverChanges: Partial<ConnectionOptions> = {}) {
  const requests = new Requests((stream, bytes) => server.consume(stream, bytes));
  const server: Connection = new Connection(connectionOptions(true, serverChanges), requests, 0);
  const handler = new Requests();
  const limits = { ...DEFAULT_LIMITS, isKeptAliveIdle: false };
  const client = new Connection(connectionOptions(false, { limits }), handler, 0);
  const exchange = (): void => {
    while (client.hasOutput || server.hasOutput) {
      for (const chunk of client.take()) server.receive(Uint8Array.from(chunk), 0);
      for (const chunk of server.take()) client.receive(Uint8Array.from(chunk), 0);
    }
  };
  return { client, server, requests, handler, exchange };
}

const HEAD = [
  headerField(':method', 'POST'),
  headerField(':scheme', 'http'),
  headerField(':path', '/a.B/C'),
  headerField(':authority', 'node:1'),
  headerField('te', 'trailers'),
];
const texts = (fields: readonly HeaderField[]): string[] =>
  fields.map(({ name, value }) => `${name}: ${value}`);

const field = fc
  .tuple(fc.constantFrom('x-a', 'x-b', 'grpc-timeout', 'authorization'), fc.string())
  .map(([name, value]) => headerField(name, value.replace(/[^!-~]/g, '')));

test('heads in two parts arrive as one, call after call', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(field, { maxLength: 3 }), { maxLength: 12 }), (calls) => {
      const { client, requests, exchange } = pair();
      const lists = [HEAD, [...HEAD, headerField('x-more', 'kept')]];
      const expected: string[][] = [];
      calls.forEach((varying, at) => {
        const constant = lists[at % 2] ?? HEAD;
        client.openRepeated(constant, varying, true);
        expected.push(texts([...constant, ...varying]));
        if (at % 3 === 0) exchange();
      });
      exchange();
      t.deepEqual(requests.heads, expected);
    }),
  );
});

test('a head that repeats costs a few bytes; one that can’t be sent spoils nothing', (t) => {
  const { client, requests, exchange } = pair();
  const sizes: number[] = [];
  for (let at = 0; at < 4; at++) {
    client.openRepeated(HEAD, [headerField('grpc-timeout', `${at}m`)], true);
    sizes.push(client.unsentBytes);
    exchange();
  }
  t.true((sizes.at(-1) ?? 0) <= 9 + HEAD.length + 5, `${sizes}`);
  t.throws(() => client.openRepeated(HEAD, [headerField('x-a', 'Ā')], true), {
    instanceOf: RangeError,
  });
  client.openRepeated(HEAD, [headerField('x-a', 'b')], true);
  client.openRepeated(HEAD, [headerField('x-a', 'b')], true);
  exchange();
  t.is(requests.heads.length, 6);
  t.deepEqual(requests.heads.at(-1), [...texts(HEAD), 'x-a: b']);
  const long = 'y'.repeat(20_000);
  client.openRepeated(HEAD, [headerField('x-long', long.slice(0, 5_000))], true);
  exchange();
  t.is(requests.heads.at(-1)?.at(-1)?.length, 5_008);
});

test('a prefix and its message arrive in a row, whatever the window and the frames', (t) => {
  const sizes = fc.array(fc.integer({ min: 0, max: 90_000 }), { maxLength: 8 });
  fc.assert(
    fc.property(sizes, fc.constantFrom(16_384, 50_000), (lengths, maxFrameBytes) => {
      const { client, requests, exchange } = pair({ maxFrameBytes, streamWindowBytes: 65_535 });
      exchange();
      const stream = client.openRepeated(HEAD, [], false);
      if (stream === undefined) return false;
      const prefix = new Uint8Array(5);
      const expected: Uint8Array[] = [];
      lengths.forEach((length, at) => {
        prefix.fill(at);
        const message = new Uint8Array(length).fill(100 + at);
        expected.push(Uint8Array.from(prefix), message);
        client.sendPrefixed(stream, prefix, message, at === lengths.length - 1);
        prefix.fill(255);
        if (at % 2 === 0) exchange();
      });
      exchange();
      const [received] = requests.streams;
      const chunks = received === undefined ? [] : requests.answerOf(received).chunks;
      return Buffer.concat(chunks).equals(Buffer.concat(expected));
    }),
  );
  t.pass();
});

test('a small message with its prefix is one frame', (t) => {
  const { client, exchange } = pair();
  exchange();
  const stream = client.openRepeated(HEAD, [], false);
  const before = client.unsentBytes;
  if (stream === undefined) throw new Error('no stream');
  t.true(client.sendPrefixed(stream, new Uint8Array(5), new Uint8Array(80), true));
  t.is(client.unsentBytes - before, 9 + 85);
  client.reset(stream, ErrorCode.CANCEL);
  t.false(client.sendPrefixed(stream, new Uint8Array(5), new Uint8Array(1), true));
});

test('who waits for the server’s settings hears of them, and of room on full connections', (t) => {
  const limits = { ...DEFAULT_LIMITS, concurrentStreams: 1 };
  const { client, server, requests, handler, exchange } = pair({ limits });
  client.awaitOpenable();
  t.is(handler.openable, 0);
  exchange();
  t.is(handler.openable, 1);
  const stream = client.openRepeated(HEAD, [], true);
  t.true(stream !== undefined && !client.canOpen && !client.isEnding);
  t.deepEqual([...client.streams], [stream]);
  t.is(client.openRepeated(HEAD, [], true), undefined);
  exchange();
  t.is(handler.openable, 1);
  const [request] = requests.streams;
  if (request !== undefined) server.sendHeaders(request, [headerField(':status', '200')], true);
  exchange();
  t.is(handler.openable, 2);
  t.true(client.canOpen);
  server.drain(0);
  exchange();
  t.true(client.isEnding);
});

test('a silent server is asked only while there are calls', (t) => {
  const { client, exchange } = pair();
  exchange();
  const { keepaliveMs, idleMs } = DEFAULT_LIMITS;
  t.is(client.deadlineMs(), idleMs);
  client.onTime(keepaliveMs * 2);
  t.false(client.hasOutput);
  client.openRepeated(HEAD, [], false);
  t.is(client.deadlineMs(), keepaliveMs);
  client.take();
  client.onTime(keepaliveMs * 2);
  t.true(client.hasOutput, 'a ping');
});
