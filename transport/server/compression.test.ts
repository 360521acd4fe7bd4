// Compressed messages: those that come are given inflated, answers are compressed where the callee
// wants it and the caller takes it, and the order of a stream stays.
import '../../test/support/poison-reads.ts';
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import type { Backend, CallContext, StreamCall, UnaryCall } from '../backend.ts';
import { MAX_AT_ONCE_BYTES } from '../grpc/gzip.ts';
import { PREFIX_BYTES } from '../grpc/message-prefix.ts';
import { serveGrpc } from './serve-grpc.ts';
import { statusOfAnswer, WireClient } from './wire-client.ts';

const log = createLog({ role: 'test', level: 'silent' });
const UNARY = '/a.B/Unary';
const STREAM = '/a.B/Stream';
const GZIP = { 'grpc-encoding': 'gzip', 'grpc-accept-encoding': 'identity, gzip' };
/** Not worth compressing, so that sizes stay what they are. */
const LARGE = randomBytes(MAX_AT_ONCE_BYTES * 2);
const SMALL = Buffer.from('small');

/** Answers each message with itself, compressed as its first byte says: 'c', 'p' or nothing. */
class Mirror implements Backend {
  readonly methods = new Map([
    [UNARY, 'unary'],
    [STREAM, 'bidi_stream'],
  ] as const);
  readonly seen: (boolean | undefined)[] = [];

  unary(call: UnaryCall): void {
    this.#wish(call, call.request);
    call.succeed(call.request);
  }

  stream(call: StreamCall): void {
    call.onMessage = (message) => {
      this.#wish(call, message);
      call.send(message);
    };
    call.onHalfClose = () => call.fail(new StatusError(Code.ABORTED, 'as told'));
  }

  #wish({ compression }: CallContext, message: Uint8Array): void {
    this.seen.push(compression?.isRequestCompressed);
    if (compression === undefined) return;
    if (message[0] === 0x63) compression.isAnswerCompressed = true;
    else if (message[0] === 0x70) compression.isAnswerCompressed = false;
  }
}

interface Heard {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

function messagesOf(content: Buffer): Heard[] {
  const messages: Heard[] = [];
  for (let at = 0; at < content.length; ) {
    const isCompressed = content[at] === 1;
    const end = at + PREFIX_BYTES + content.readUInt32BE(at + 1);
    const bytes = content.subarray(at + PREFIX_BYTES, end);
    messages.push({ isCompressed, bytes: isCompressed ? gunzipSync(bytes) : bytes });
    at = end;
  }
  return messages;
}

const serve = (backend: Backend) => serveGrpc({ backend, host: '127.0.0.1', port: 0, log });
const wishing = (letter: string, bytes: Buffer) => Buffer.concat([Buffer.from(letter), bytes]);

test('requests are inflated, small and large, and it shows how they came', async (t) => {
  const mirror = new Mirror();
  const server = await serve(mirror);
  const client = new WireClient(server.port);
  for (const bytes of [SMALL, LARGE, Buffer.alloc(0), Buffer.alloc(4_000_000)]) {
    for (const isCompressed of [true, false]) {
      const call = client.call(UNARY, GZIP);
      call.message(isCompressed ? gzipSync(bytes) : bytes, isCompressed);
      call.stream.end();
      const { content, headers } = await call.ended;
      t.true(messagesOf(content)[0]?.bytes.equals(bytes));
      t.false(messagesOf(content)[0]?.isCompressed);
      t.is(headers['grpc-encoding'], undefined);
      t.is(mirror.seen.at(-1), isCompressed);
    }
  }
  t.like(server.held, { calls: 0, requestBytes: 0, deadlines: 0 });
  client.cut();
  server.stop();
});

test('an answer is compressed where both want it', async (t) => {
  const server = await serve(new Mirror());
  const client = new WireClient(server.port);
  for (const bytes of [SMALL, LARGE]) {
    for (const letter of ['c', 'p']) {
      for (const headers of [GZIP, {}]) {
        const sent = wishing(letter, bytes);
        const answer = await client.ask(UNARY, sent, headers);
        const isAccepted = headers === GZIP;
        t.is(statusOfAnswer(answer), '0');
        t.is(answer.headers['grpc-encoding'], isAccepted ? 'gzip' : undefined);
        const [message] = messagesOf(answer.content);
        t.true(message?.bytes.equals(sent));
        t.is(message?.isCompressed, isAccepted && letter === 'c');
      }
    }
  }
  t.is(server.held.calls, 0);
  client.cut();
  server.stop();
});

test('a stream keeps its order while messages are packed and unpacked', async (t) => {
  const mirror = new Mirror();
  const server = await serve(mirror);
  const client = new WireClient(server.port, 8_000_000);
  const call = client.call(STREAM, GZIP);
  const sent: Buffer[] = [];
  for (let at = 0; at < 12; at += 1) {
    const bytes = wishing(at % 3 === 2 ? 'p' : 'c', at % 2 === 0 ? LARGE : SMALL);
    const isCompressed = at % 4 < 2;
    sent.push(bytes);
    call.message(isCompressed ? gzipSync(bytes) : bytes, isCompressed);
  }
  call.stream.end();
  const answer = await call.ended;
  t.is(statusOfAnswer(answer), String(Code.ABORTED));
  const heard = messagesOf(answer.content);
  t.is(heard.length, sent.length);
  t.true(heard.every(({ bytes }, at) => bytes.equals(sent[at] ?? SMALL)));
  t.deepEqual(
    heard.map(({ isCompressed }) => isCompressed),
    sent.map((bytes) => bytes[0] === 0x63),
  );
  t.deepEqual(
    mirror.seen,
    sent.map((_, at) => at % 4 < 2),
  );
  t.like(server.held, { calls: 0, requestBytes: 0, answerBytes: 0, deadlines: 0 });
  client.cut();
  server.stop();
});

test('a second request is one too many, whether the first was compressed or not', async (t) => {
  const server = await serve(new Mirror());
  const client = new WireClient(server.port);
  for (const isCompressed of [false, true]) {
    const both = client.call(UNARY, GZIP);
    const first = isCompressed ? gzipSync(SMALL) : SMALL;
    const prefix = Buffer.from([Number(isCompressed), 0, 0, 0, first.length]);
    both.stream.end(Buffer.concat([prefix, first, Buffer.from([0, 0, 0, 0, 1, 7])]));
    t.is(statusOfAnswer(await both.ended), String(Code.UNIMPLEMENTED));
  }
  client.cut();
  server.stop();
});
