import { createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { Flag, FrameType } from '../transport/http2/frames/constants.ts';
import { prebuiltBlock } from '../transport/http2/hpack/encoder.ts';
import { headerField } from '../transport/http2/hpack/header-field.ts';
import { openLeanClient } from './lean-client.ts';
import { frame, windowUpdate, writeUint32 } from './lean-frames.ts';

const OK = prebuiltBlock([headerField('grpc-status', '0')]);
const BODY = Buffer.from([0, 0, 0, 0, 1, 7]);
const SETTINGS = frame(FrameType.SETTINGS, 0, []);
const PONG = frame(FrameType.PING, Flag.ACK, new Uint8Array(8));
const END = Flag.END_HEADERS | Flag.END_STREAM;

function of(streamId: number, bytes: Uint8Array): Uint8Array {
  writeUint32(bytes, 5, streamId);
  return bytes;
}

const answer = (id: number): Uint8Array =>
  Buffer.concat([
    of(id, frame(FrameType.DATA, 0, BODY)),
    of(id, frame(FrameType.HEADERS, END, OK)),
  ]);

/** A peer that says what it is told to, once it has seen so many bytes of a client. */
async function serve(t: ExecutionContext, atCall: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(Buffer.concat([SETTINGS, PONG]));
      socket.on('data', (bytes) => {
        if (bytes.includes(BODY)) atCall(socket);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}

/** Statuses of `count` calls, by the moment that they were meant for. */
async function call(t: ExecutionContext, port: number, count: number) {
  const codes = new Map<number, number>();
  const done = Promise.withResolvers<void>();
  const client = await openLeanClient({
    port,
    path: '/a/B',
    body: BODY,
    connections: 1,
    callsPerConnection: 4,
    onAnswer(code, intendedMs) {
      codes.set(intendedMs, code);
      if (codes.size === count) done.resolve();
    },
  });
  t.teardown(() => client.close());
  for (let at = 1; at <= count; at += 1) t.true(client.send(at));
  client.flush();
  await done.promise;
  return { codes, client };
}

test('answers that come a byte at a time, and not in turn', async (t) => {
  const bytes = Buffer.concat([answer(3), answer(1)]);
  const port = await serve(t, (socket) => {
    for (const byte of bytes) socket.write(Uint8Array.of(byte));
  });
  const { codes, client } = await call(t, port, 2);
  t.deepEqual(
    [...codes],
    [
      [2, 0],
      [1, 0],
    ],
  );
  for (let at = 0; at < 4; at += 1) t.true(client.send(9));
  t.false(client.send(9), 'as many without an answer as there is room for');
});

test('an answer without content, or without a status, is no success', async (t) => {
  const empty = of(1, frame(FrameType.HEADERS, END, OK));
  const cut = of(3, frame(FrameType.DATA, Flag.END_STREAM, BODY));
  const port = await serve(t, (socket) => socket.write(Buffer.concat([empty, cut])));
  const { codes } = await call(t, port, 2);
  t.deepEqual(
    [...codes],
    [
      [1, 2],
      [2, 2],
    ],
  );
});

test('a reset, a goodbye, a lost connection: each call is told once', async (t) => {
  const reset = of(1, frame(FrameType.RST_STREAM, 0, [0, 0, 0, 8]));
  const goodbye = frame(FrameType.GOAWAY, 0, [0, 0, 0, 1, 0, 0, 0, 0]);
  for (const end of [
    (socket: Socket) => socket.write(Buffer.concat([reset, goodbye])),
    (socket: Socket) => socket.destroy(),
  ]) {
    const { codes, client } = await call(t, await serve(t, end), 3);
    t.deepEqual(
      [...codes],
      [
        [1, 14],
        [2, 14],
        [3, 14],
      ],
    );
    t.false(client.send(4));
  }
});

test("no more is sent than the peer's window takes", async (t) => {
  const calls = Math.floor(65_535 / BODY.length);
  const port = await serve(t, () => {});
  let sent = 0;
  const client = await openLeanClient({
    ...{ port, path: '/a/B', body: BODY, connections: 1, callsPerConnection: 16_384 },
    onAnswer: () => {},
  });
  t.teardown(() => client.close());
  while (client.send(0)) sent += 1;
  t.is(sent, calls);
});

test('a window that is opened again is used', async (t) => {
  const body = Buffer.concat([BODY, Buffer.alloc(40_000)]);
  const port = await serve(t, (socket) =>
    socket.write(Buffer.concat([windowUpdate(40_000), answer(1)])),
  );
  const answered = Promise.withResolvers<void>();
  const client = await openLeanClient({
    ...{ port, path: '/a/B', body, connections: 1 },
    onAnswer: () => answered.resolve(),
  });
  t.teardown(() => client.close());
  t.true(client.send(0));
  t.false(client.send(0));
  client.flush();
  await answered.promise;
  t.true(client.send(0));
});

test('a call larger than what the peer takes at first is refused', async (t) => {
  const port = await serve(t, () => {});
  const body = Buffer.alloc(70_000);
  const opened = openLeanClient({
    ...{ port, path: '/a/B', body, connections: 1 },
    onAnswer: () => {},
  });
  await t.throwsAsync(opened, { message: /a call of 70000 bytes, the peer takes 65535/ });
});
