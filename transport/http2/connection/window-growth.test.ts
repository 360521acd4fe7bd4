// Windows that grow, and what that is for: streams that nobody reads keep no others waiting.
import test from 'ava';
import fc from 'fast-check';
import { headerField } from '../hpack/header-field.ts';
import { Connection } from './connection.ts';
import { CollectHandler } from './echo-handler.ts';
import { connectionOptions } from './options.ts';
import { Stream } from './stream.ts';
import { WindowGrowth } from './window-growth.ts';

test('windows double up to the most, while the store lasts; what is released comes back', (t) => {
  const growth = new WindowGrowth(100, 500, 1_000);
  const stream = new Stream(1, 100, 0);
  t.deepEqual([growth.grow(stream), growth.grow(stream), growth.grow(stream)], [100, 200, 100]);
  t.is(stream.windowBytes, 500);
  t.is(growth.grow(stream), 0);
  const others = [3, 5, 7].map((id) => new Stream(id, 100, 0));
  for (let at = 0; at < 9; at++) for (const other of others) growth.grow(other);
  t.is(growth.leftBytes, 0);
  for (const one of [stream, ...others]) growth.release(one);
  t.is(growth.leftBytes, 1_000);
});

test('the store is never overdrawn, nor a window above the most', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.nat(3_000),
      fc.array(fc.tuple(fc.nat(9), fc.boolean())),
      (mostBytes, storeBytes, events) => {
        const growth = new WindowGrowth(100, mostBytes, storeBytes);
        const streams = Array.from({ length: 10 }, (_, at) => new Stream(at * 2 + 1, 100, 0));
        for (const [at, isRelease] of events) {
          const stream = streams[at];
          if (stream === undefined) continue;
          if (isRelease) growth.release(stream);
          else growth.grow(stream);
          const grown = streams.reduce((sum, one) => sum + one.windowBytes - 100, 0);
          if (grown + growth.leftBytes !== storeBytes || growth.leftBytes < 0) return false;
          if (stream.windowBytes > Math.max(100, mostBytes)) return false;
        }
        return true;
      },
    ),
  );
  t.pass();
});

const HEAD = [':method POST', ':scheme http', ':path /', ':authority a']
  .map((line) => line.split(' '))
  .map(([name = '', value = '']) => headerField(name, value));

/** A client that reads some streams and not others, and a server that sends on all of them. */
function talk(windowGrowthBytes: number) {
  const unread = new Set<Stream>();
  const received = new Map<Stream, number>();
  const take = (stream: Stream, bytes: number): void => {
    received.set(stream, (received.get(stream) ?? 0) + bytes);
    if (!unread.has(stream)) client.consume(stream, bytes);
  };
  const changes = { streamWindowBytes: 65_535, connectionWindowBytes: 100_000_000 };
  const client: Connection = new Connection(
    connectionOptions(false, { ...changes, mostStreamWindowBytes: 1_000_000, windowGrowthBytes }),
    new CollectHandler(take),
    0,
  );
  const requests: Stream[] = [];
  class Collecting extends CollectHandler {
    override onHeaders(stream: Stream): void {
      requests.push(stream);
    }
  }
  const server = new Connection(connectionOptions(true), new Collecting(), 0);
  let trips = 0;
  const exchange = (): void => {
    while (client.hasOutput || server.hasOutput) {
      trips++;
      for (const chunk of client.take()) server.receive(Uint8Array.from(chunk), 0);
      for (const chunk of server.take()) client.receive(Uint8Array.from(chunk), 0);
    }
  };
  const open = (sizeBytes: number, isRead: boolean): Stream => {
    const stream = client.open(HEAD, true);
    if (stream === undefined) throw new Error('no stream');
    if (!isRead) unread.add(stream);
    exchange();
    const request = requests.at(-1);
    if (request === undefined) throw new Error('no request');
    server.sendHeaders(request, [headerField(':status', '200')], false);
    server.sendData(request, new Uint8Array(sizeBytes), true);
    exchange();
    return stream;
  };
  return { open, received, trips: () => trips };
}

test('a hundred streams that nobody reads keep the one that is read from nothing', (t) => {
  const { open, received } = talk(10_000_000);
  const stalled = Array.from({ length: 100 }, () => open(5_000_000, false));
  for (const stream of stalled) t.is(received.get(stream), 65_535);
  t.is(received.get(open(20_000_000, true)), 20_000_000);
});

test('a long answer that is read comes in fewer and fewer, larger pieces', (t) => {
  const [small, large] = [talk(0), talk(10_000_000)];
  for (const one of [small, large]) one.open(20_000_000, true);
  t.true(large.trips() * 4 < small.trips(), `${large.trips()} and ${small.trips()} exchanges`);
});
