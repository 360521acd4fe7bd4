// node:http2's client holds the same random conversation with our server and with node's: the same
// calls are answered, with the same bytes. And our client with both.
import http2 from 'node:http2';
import fc from 'fast-check';
import { Connection } from '../../transport/http2/connection/connection.ts';
import { CollectHandler } from '../../transport/http2/connection/echo-handler.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import { Progress, type Stream } from '../../transport/http2/connection/stream.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { ConnectionSocket } from '../../transport/http2/shell/connection-socket.ts';
import { type EchoEnd, echoEnds, nowMs, POOL } from './echo-ends.ts';
import { type Verdict, waitingTarget } from './fuzz-target.ts';
import { plainNames, plainValues } from './header-blocks.ts';

interface Call {
  readonly headers: readonly (readonly [string, string])[];
  readonly pieces: readonly number[];
  readonly hasTrailers: boolean;
  /** Is given up once something has come back. */
  readonly isCancelled: boolean;
}

interface Conversation {
  readonly settings: http2.Settings;
  readonly padding: number;
  readonly calls: readonly Call[];
}

/** In words: status, content, trailers of each call; or how it failed. */
type Answers = readonly string[];

function told(status: unknown, content: Buffer, trailer: unknown): string {
  const odd = content.findIndex((byte, at) => at > 0 && byte !== content[at - 1]);
  return `${status} ${content.length} bytes ${content[0]}.. changes at ${odd} trailer ${trailer}`;
}

const contentOf = (call: Call): Buffer =>
  Buffer.concat(call.pieces.map((size, at) => Buffer.alloc(size, at + 1)));

function nodeCall(session: http2.ClientHttp2Session, call: Call): Promise<string> {
  const endStream = call.pieces.length === 0 && !call.hasTrailers;
  const headers: Record<string, string | string[]> = { ':method': 'POST', ':path': '/a.B/C' };
  for (const [name, value] of call.headers) headers[name] = value;
  const stream = session.request(headers, { endStream, waitForTrailers: call.hasTrailers });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let [status, trailer]: unknown[] = [undefined, undefined];
    stream.on('response', (response) => {
      status = response[':status'];
      if (call.isCancelled) stream.close(http2.constants.NGHTTP2_CANCEL);
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('trailers', (trailers) => {
      trailer = trailers['grpc-status'];
    });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': '1' }));
    stream.on('error', (error) => resolve(call.isCancelled ? 'cancelled' : String(error)));
    stream.on('close', () => {
      resolve(call.isCancelled ? 'cancelled' : told(status, Buffer.concat(chunks), trailer));
    });
    if (endStream) return;
    for (const [at, size] of call.pieces.entries()) stream.write(Buffer.alloc(size, at + 1));
    stream.end();
  });
}

async function withNodeClient(end: EchoEnd, talk: Conversation): Promise<Answers> {
  const session = http2.connect('http://host', {
    createConnection: () => end.socket,
    settings: talk.settings,
    paddingStrategy: talk.padding,
  });
  const failed = new Promise<string>((resolve) => session.once('error', (e) => resolve(String(e))));
  const answers = Promise.all(talk.calls.map((call) => nodeCall(session, call)));
  const result = await Promise.race([answers, failed.then((text) => [text])]);
  session.destroy();
  return result;
}

async function withOurClient(end: EchoEnd, talk: Conversation): Promise<Answers> {
  const waiting = new Map<Stream, (text: string) => void>();
  const handler: CollectHandler = new CollectHandler(
    (stream, bytes) => connection.consume(stream, bytes),
    (stream) => {
      const { headers, chunks, trailers } = handler.answerOf(stream);
      const status = headers?.fields.find(({ name }) => name === ':status')?.value;
      const trailer = trailers?.fields.find(({ name }) => name === 'grpc-status')?.value;
      const text = told(status, Buffer.concat(chunks), trailer);
      waiting.get(stream)?.(stream.isReset ? 'reset' : text);
    },
  );
  const connection: Connection = new Connection(
    connectionOptions(false, {
      pool: POOL,
      streamWindowBytes: Math.max(65_535, talk.settings.initialWindowSize ?? 0),
      headerTableBytes: talk.settings.headerTableSize ?? 4_096,
    }),
    handler,
    nowMs(),
  );
  const shell = new ConnectionSocket(end.socket, connection, nowMs);
  const answers = await Promise.all(
    talk.calls.map((call) => {
      const isEnd = call.pieces.length === 0 && !call.hasTrailers;
      const stream = connection.open(fieldsOf(call), isEnd);
      if (stream === undefined) return 'not opened';
      const answer = new Promise<string>((resolve) => waiting.set(stream, resolve));
      if (stream.sending === Progress.OPEN) {
        connection.sendData(stream, contentOf(call), !call.hasTrailers);
        if (call.hasTrailers) connection.sendTrailers(stream, [headerField('x-end', '1')]);
      }
      return answer;
    }),
  );
  shell.destroy();
  return answers;
}

const fieldsOf = (call: Call) => [
  headerField(':method', 'POST'),
  headerField(':scheme', 'http'),
  headerField(':path', '/a.B/C'),
  headerField(':authority', 'host'),
  ...call.headers.map(([name, value]) => headerField(name, value)),
];

async function differ(
  client: (end: EchoEnd, talk: Conversation) => Promise<Answers>,
  talk: Conversation,
): Promise<Verdict> {
  const ends = await echoEnds();
  const [ours, nodes] = [await client(ends[0], talk), await client(ends[1], talk)];
  const left = (await ends[0].close()) ?? (await ends[1].close());
  const at = ours.findIndex((answer, i) => answer !== nodes[i]);
  if (at >= 0) return `call ${at}: our server: ${ours[at]}; node's: ${nodes[at]}`;
  return left;
}

const call: fc.Arbitrary<Call> = fc.record({
  headers: fc.array(fc.tuple(plainNames, plainValues), { maxLength: 5 }),
  pieces: fc.array(fc.constantFrom(1, 100, 16_384, 16_385, 65_535, 100_000), { maxLength: 3 }),
  hasTrailers: fc.boolean(),
  isCancelled: fc.constantFrom(false, false, false, true),
});

const conversation: fc.Arbitrary<Conversation> = fc.record({
  settings: fc.record(
    {
      initialWindowSize: fc.constantFrom(0x4000, 65_535, 100_000, 4_000_000),
      maxFrameSize: fc.constantFrom(16_384, 30_000, 1_000_000),
      headerTableSize: fc.constantFrom(0, 100, 4_096, 65_536),
    },
    { requiredKeys: [] },
  ),
  padding: fc.constantFrom(
    http2.constants.PADDING_STRATEGY_NONE,
    http2.constants.PADDING_STRATEGY_MAX,
    http2.constants.PADDING_STRATEGY_CALLBACK,
  ),
  calls: fc.array(call, { minLength: 1, maxLength: 8 }),
});

const target = (name: string, client: typeof withNodeClient) =>
  waitingTarget({
    name,
    share: 1,
    runsPerBatch: 10,
    input: conversation,
    judge: (talk) => differ(client, talk),
  });

export const nodeClientTargets = [
  target('node-client', withNodeClient),
  target('our-client', withOurClient),
];
