// Bytes from peers that mean no good or are broken: whatever comes, a connection goes on, resets a
// stream or fails with a code; it never throws, and never holds more than its limits.
import '../../../test/support/poison-reads.ts';
import test from 'ava';
import fc from 'fast-check';
import { CLIENT_PREFACE, FrameType } from '../frames/constants.ts';
import { BlockPool, Output } from '../frames/output.ts';
import { prebuiltBlock } from '../hpack/encoder.ts';
import { Connection } from './connection.ts';
import { CollectHandler, EchoHandler } from './echo-handler.ts';
import { fieldsOf, parseFrame } from './frame-text.ts';
import { connectionOptions } from './options.ts';

const CONNECTION_WINDOW_BYTES = 131_072;
/** All that a connection may hold: windows, queued echoes, unsent answers, a cut frame. */
const HELD_BYTES = 4 * CONNECTION_WINDOW_BYTES + 262_144 + 1_048_576;

const options = (isServer: boolean) =>
  connectionOptions(isServer, {
    streamWindowBytes: 65_535,
    connectionWindowBytes: CONNECTION_WINDOW_BYTES,
  });

interface Target {
  readonly connection: Connection;
  /** Bytes that an honest peer sends first. */
  readonly opening: Uint8Array;
  readonly act: () => void;
}

function serverTarget(): Target {
  const handler = new EchoHandler();
  const connection = new Connection(options(true), handler, 0);
  handler.serve(connection);
  return {
    connection,
    opening: Buffer.concat([CLIENT_PREFACE, parseFrame('SETTINGS'), parseFrame('SETTINGS ack')]),
    act: () => {},
  };
}

function clientTarget(): Target {
  const handler = new CollectHandler((stream, bytes) => connection.consume(stream, bytes));
  const connection: Connection = new Connection(options(false), handler, 0);
  const request = fieldsOf(['POST']);
  return {
    connection,
    opening: Buffer.concat([parseFrame('SETTINGS'), parseFrame('SETTINGS ack')]),
    act: () => {
      const stream = connection.open(request, false);
      if (stream !== undefined) connection.sendData(stream, Buffer.alloc(100), true);
    },
  };
}

const blocks = fc.oneof(
  fc.constantFrom('GET', 'POST', 'OK', 'TRAILERS').map((name) => prebuiltBlock(fieldsOf([name]))),
  fc.uint8Array({ maxLength: 40 }),
);

const payloads = fc.oneof(
  blocks,
  fc.uint8Array({ maxLength: 64 }),
  fc
    .constantFrom(4, 8, 5, 6)
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
  fc.constantFrom(0, 1000, 16_384).map((length) => new Uint8Array(length)),
);

const hostileFrame = fc
  .record({
    type: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constantFrom(FrameType.HEADERS, 0, 0x33)),
    flags: fc.constantFrom(0, 1, 4, 5, 8, 0xc, 0xd, 0x20, 0x25, 0x2d),
    streamId: fc.constantFrom(0, 1, 1, 2, 3, 3, 5, 7, 9, 0x7fffffff),
    payload: payloads,
  })
  .map(({ type, flags, streamId, payload }) => {
    const output = new Output(new BlockPool());
    output.frameHeader(payload.length, type, flags, streamId);
    output.copy(payload, 0, payload.length);
    return Buffer.concat(output.take());
  });

const honestFrame = fc
  .tuple(
    fc.constantFrom(
      'HEADERS # POST',
      'HEADERS # end GET',
      'HEADERS # OK',
      'HEADERS # end TRAILERS',
      'DATA # len=3000',
      'DATA # end pad=9 hello',
      'WINDOW_UPDATE # 1000',
      'WINDOW_UPDATE 0 1000',
      'SETTINGS INITIAL_WINDOW_SIZE=77',
      'SETTINGS ack',
      'RST_STREAM # CANCEL',
      'PING 12345678',
    ),
    fc.constantFrom(1, 3, 5, 7),
  )
  .map(([line, id]) => parseFrame(line.replace('#', String(id))));

const mutation = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('flip', 'delete', 'insert', 'double'),
  length: fc.integer({ min: 1, max: 20 }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(bytes: Buffer, { at, kind, length, bytes: more }: Mutation): Buffer {
  const from = at % (bytes.length + 1);
  const [before, after] = [bytes.subarray(0, from), bytes.subarray(from)];
  if (kind === 'delete') return Buffer.concat([before, after.subarray(length)]);
  if (kind === 'insert') return Buffer.concat([before, more, after]);
  if (kind === 'double') return Buffer.concat([before, after.subarray(0, length), after]);
  return Buffer.concat([before, more, after.subarray(more.length)]);
}

/** False with a reason once a promise is broken. */
function feed(target: Target, bytes: Uint8Array, cuts: readonly number[]): string | undefined {
  const { connection } = target;
  let now = 0;
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const to = at + (cuts[i % cuts.length] ?? 1);
    now += 1;
    connection.receive(Uint8Array.prototype.slice.call(bytes, at, to), now);
    at = to;
    target.act();
    if (i % 3 === 0) connection.take();
    if (connection.heldBytes > HELD_BYTES) return `holds ${connection.heldBytes} bytes`;
    if (connection.deadlineMs() < 0) return 'a deadline in the past';
  }
  connection.onTime(now + 100_000);
  connection.take();
  connection.lost('over');
  if (connection.openStreams !== 0) return `${connection.openStreams} streams are left`;
  connection.receive(bytes, now);
  return connection.take().length === 0 ? undefined : 'sends after its end';
}

const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 10 });

for (const [name, make] of [
  ['a server', serverTarget],
  ['a client', clientTarget],
] as const) {
  test(`${name} stands frames in any order with any content`, (t) => {
    const frames = fc.array(fc.oneof(hostileFrame, honestFrame, honestFrame), { maxLength: 60 });
    fc.assert(
      fc.property(frames, cuts, (sent, sizes) => {
        const target = make();
        t.is(feed(target, Buffer.concat([target.opening, ...sent]), sizes), undefined);
      }),
      { numRuns: 500 },
    );
  });

  test(`${name} stands honest conversations with bytes changed`, (t) => {
    const frames = fc.array(honestFrame, { minLength: 3, maxLength: 40 });
    const changes = fc.array(mutation, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(frames, changes, cuts, (sent, mutations, sizes) => {
        const target = make();
        const bytes = mutations.reduce(mutate, Buffer.concat([target.opening, ...sent]));
        t.is(feed(target, bytes, sizes), undefined);
      }),
      { numRuns: 500 },
    );
  });
}

test('floods end with the connection, before they cost much', (t) => {
  const floods: Record<string, (at: number) => string> = {
    resets: (at) => `HEADERS ${at * 2 + 1} end GET | RST_STREAM ${at * 2 + 1} CANCEL`,
    pings: () => 'PING 12345678',
    settings: () => 'SETTINGS',
    tiny_data: (at) => (at === 0 ? 'HEADERS 1 POST' : at % 2 === 0 ? 'DATA 1' : 'DATA 1 len=4'),
    window_updates: () => 'WINDOW_UPDATE 0 1',
    ignored_frames: () => 'PRIORITY 1 parent=0',
    continuation_frames: (at) => (at === 0 ? 'HEADERS 1 more GET' : 'CONTINUATION 1 more'),
  };
  for (const [name, line] of Object.entries(floods)) {
    const handler = new EchoHandler();
    const connection = new Connection(options(true), handler, 0);
    handler.serve(connection);
    connection.receive(serverTarget().opening, 0);
    let frames = 0;
    for (; frames < 60_000 && !connection.isFailed; frames++) {
      for (const part of line(frames).split(' | ')) {
        connection.receive(parseFrame(part), frames / 1000);
      }
      connection.take();
    }
    t.true(connection.isFailed, name);
    t.deepEqual(handler.limits, [name]);
    t.is(connection.openStreams, 0);
  }
});

test('a connection that fails for the time it took lets go of a frame that is cut off', (t) => {
  for (const end of ['time', 'fail', 'lost'] as const) {
    const { connection, opening } = serverTarget();
    connection.receive(opening, 0);
    connection.receive(parseFrame('DATA 1 pad=3 len=9000').subarray(0, 5000), 1);
    t.true(connection.heldBytes > 4_000);
    if (end === 'time') connection.onTime(100_000);
    else if (end === 'fail') connection.fail(0, 'enough');
    else connection.lost('gone');
    connection.take();
    t.is(connection.heldBytes, 0, end);
  }
});
