// Against node:http2 (nghttp2), a second opinion: its client and server talk through a tap, and our
// decoder must read in the captured blocks what they sent; then our encoder talks to its server.
import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import test from 'ava';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder, mostBlockBytes } from './encoder.ts';
import type { HeaderField } from './header-field.ts';
import { headerField } from './header-field.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;
const SETTINGS = 4;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const PADDED = 8;
const PRIORITY = 0x20;

/** The header blocks among the frames of one direction, in order (RFC 9113, 4.1, 6.2, 6.10). */
function headerBlocks(bytes: Buffer): readonly Buffer[] {
  const blocks: Buffer[] = [];
  let open: Buffer[] = [];
  for (let at = 0; at + FRAME_HEAD_BYTES <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const [type, flags] = [bytes[at + 3] ?? 0, bytes[at + 4] ?? 0];
    let payload = bytes.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + length);
    at += FRAME_HEAD_BYTES + length;
    if (type !== HEADERS && type !== CONTINUATION) continue;
    if (type === HEADERS && (flags & PADDED) !== 0) {
      payload = payload.subarray(1, payload.length - (payload[0] ?? 0));
    }
    if (type === HEADERS && (flags & PRIORITY) !== 0) payload = payload.subarray(5);
    open.push(payload);
    if ((flags & END_HEADERS) === 0) continue;
    blocks.push(Buffer.concat(open));
    open = [];
  }
  return blocks;
}

interface Tap {
  readonly port: number;
  readonly sent: () => Buffer;
  readonly answered: () => Buffer;
  readonly close: () => void;
}

/** Passes one connection on to `port` and keeps what went through. */
async function tap(port: number): Promise<Tap> {
  const chunks: { sent: Buffer[]; answered: Buffer[] } = { sent: [], answered: [] };
  const sockets: Socket[] = [];
  const server = net.createServer((from) => {
    const to = net.connect(port, '127.0.0.1');
    sockets.push(from, to);
    from.on('data', (chunk) => chunks.sent.push(chunk)).pipe(to);
    to.on('data', (chunk) => chunks.answered.push(chunk)).pipe(from);
    for (const socket of [from, to]) socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sent: () => Buffer.concat(chunks.sent).subarray(PREFACE.length),
    answered: () => Buffer.concat(chunks.answered),
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const pairs = (fields: readonly HeaderField[]): readonly (readonly string[])[] =>
  fields.map(({ name, value }) => [name, value]);

/** node's raw headers: name, value, name, value. */
function rawPairs(raw: readonly string[]): string[][] {
  const result: string[][] = [];
  for (let at = 0; at < raw.length; at += 2) result.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return result;
}

const ODD: readonly Record<string, string | string[]>[] = [
  { 'x-empty': '', 'x-latin': 'caf\u00e9 \u00ff', te: 'trailers' },
  { 'x-many': ['one', 'two', 'one'], cookie: ['a=b', 'c=d'], authorization: 'Bearer s3cret' },
  { 'x-long': '~'.repeat(3000), 'x-symbols': '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~' },
  { 'x-long': 'z'.repeat(5000), 'grpc-timeout': '59998m', 'a-b_c.d': '0' },
];

async function serve(
  settings: http2.Settings,
  seen: string[][][],
): Promise<{ server: http2.Http2Server; port: number }> {
  const server = http2.createServer({ settings });
  server.on('stream', (stream, _headers, _flags, raw) => {
    seen.push(rawPairs(raw as unknown as string[]));
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'x-number': `${seen.length}`, ...ODD[seen.length % 4] });
    stream.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

for (const tableBytes of [0, 200, 4096, 65_536]) {
  test(`what node:http2 sends is read, with tables of ${tableBytes} bytes`, async (t) => {
    const seen: string[][][] = [];
    const { server, port } = await serve({ headerTableSize: tableBytes }, seen);
    const between = await tap(port);
    const client = http2.connect(`http://127.0.0.1:${between.port}`, {
      settings: { headerTableSize: tableBytes },
    });
    await once(client, 'remoteSettings');
    const answers: string[][][] = [];
    for (let time = 0; time < 12; time += 1) {
      const stream = client.request({ ':path': `/pkg.S/M${time % 3}`, ...ODD[time % 4] });
      stream.on('response', (_headers, _flags, raw) => {
        answers.push(rawPairs(raw as unknown as string[]));
      });
      stream.resume();
      await once(stream, 'close');
    }
    for (const [bytes, meant] of [
      [between.sent(), seen],
      [between.answered(), answers],
    ] as const) {
      const decoder = new HpackDecoder();
      decoder.setMaxTableBytes(tableBytes);
      const read = headerBlocks(bytes).map((block) => pairs(decoder.decode(block).fields));
      t.deepEqual(read, meant);
      t.is(read.length, 12);
      t.true(tableBytes === 0 || decoder.tableBytes > 0);
      t.true(decoder.tableBytes <= tableBytes);
    }
    client.close();
    between.close();
    server.close();
  });
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

test('what our encoder writes node:http2 reads', async (t) => {
  const seen: string[][][] = [];
  const { server, port } = await serve({ headerTableSize: 300 }, seen);
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  socket.write(PREFACE);
  socket.write(frame(SETTINGS, 0, 0, new Uint8Array(0)));
  const encoder = new HpackEncoder();
  encoder.setPeerMaxTableBytes(300);
  const sent: string[][][] = [];
  for (let time = 0; time < 12; time += 1) {
    const fields = [
      headerField(':method', 'POST'),
      headerField(':scheme', 'http'),
      headerField(':path', `/pkg.S/M${time % 3}`),
      headerField(':authority', '127.0.0.1'),
      ...Object.entries(ODD[time % 4] ?? {}).flatMap(([name, value]) =>
        [value].flat().map((one) => headerField(name, one)),
      ),
    ];
    const target = new Uint8Array(mostBlockBytes(fields));
    const block = target.subarray(0, encoder.encode(fields, target));
    socket.write(frame(HEADERS, END_STREAM | END_HEADERS, time * 2 + 1, block));
    sent.push(fields.map(({ name, value }) => [name, value]));
  }
  while (seen.length < 12) await once(server, 'stream');
  t.deepEqual(seen, sent);
  socket.destroy();
  server.close();
});
