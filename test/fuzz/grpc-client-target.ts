// Our gRPC client at a server that answers anything: every call comes to an end by its deadline, a
// sound answer is given as it came, a wrong one is an error, and a closed client holds nothing.
import { once } from 'node:events';
import net from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { connectGrpc, type GrpcClient } from '../../transport/client/client.ts';
import { FrameType } from '../../transport/http2/frames/constants.ts';
import { FrameReader } from '../../transport/http2/frames/frame-reader.ts';
import { prebuiltBlock } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { invokeUnary } from '../../transport/invoke.ts';
import { byteChanges, changed, chunkSizes, chunksOf } from './byte-changes.ts';
import { type Verdict, waitingTarget } from './fuzz-target.ts';
import { opening } from './hostile-frames.ts';
import { frameBytes, uint32Bytes } from './wire-bytes.ts';

const PATH = '/fuzz.Echo/Unary';
/** An answer in order comes long before; what was changed may never come. */
const IN_ORDER_MS = 15_000;
const CHANGED_MS = 100;
const [END_STREAM, END_HEADERS] = [1, 4];

const KINDS = [
  'ok',
  'packed',
  'empty message',
  'status',
  'status alone',
  'no status',
  'no gRPC',
  'reset',
  'two messages',
  'no message',
  'wrong flag',
  'too long',
] as const;
type Kind = (typeof KINDS)[number];

interface Answer {
  readonly kind: Kind;
  readonly message: Uint8Array;
  readonly cut: number;
}

interface Input {
  readonly answers: readonly Answer[];
  readonly changes: readonly Parameters<typeof changed>[1][];
  readonly sizes: readonly number[];
}

/** The status of each kind; undefined where it is one of several errors. */
const CODES: Readonly<Record<Kind, Code | undefined>> = {
  ok: Code.OK,
  packed: Code.OK,
  'empty message': Code.OK,
  status: Code.NOT_FOUND,
  'status alone': Code.PERMISSION_DENIED,
  'no status': undefined,
  'no gRPC': Code.UNAVAILABLE,
  reset: undefined,
  'two messages': undefined,
  'no message': undefined,
  'wrong flag': undefined,
  'too long': undefined,
};

function headers(id: number, isEnd: boolean, ...fields: readonly (readonly [string, string])[]) {
  const block = prebuiltBlock(fields.map(([name, value]) => headerField(name, value)));
  const flags = END_HEADERS | (isEnd ? END_STREAM : 0);
  return frameBytes(FrameType.HEADERS, flags, id, block);
}

function prefixed(bytes: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Uint8Array.of(flag), uint32Bytes(bytes.length), bytes]);
}

function data(id: number, content: Buffer, cut: number): Buffer {
  const at = cut % (content.length + 1);
  const frames = [content.subarray(0, at), content.subarray(at)];
  return Buffer.concat(frames.map((piece) => frameBytes(FrameType.DATA, 0, id, piece)));
}

const OK_HEAD = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
] as const;

function contentOf({ kind, message }: Answer): Buffer {
  switch (kind) {
    case 'packed':
      return prefixed(gzipSync(message), 1);
    case 'empty message':
      return prefixed(Buffer.alloc(0));
    case 'two messages':
      return Buffer.concat([prefixed(message), prefixed(message)]);
    case 'no message':
    case 'status':
      return Buffer.alloc(0);
    case 'wrong flag':
      return prefixed(message, 2);
    case 'too long':
      return Buffer.concat([prefixed(message), Uint8Array.of(0, 0)]);
    default:
      return prefixed(message);
  }
}

function bytesOf(answer: Answer, id: number): Buffer {
  const { kind, cut } = answer;
  if (kind === 'reset') return frameBytes(FrameType.RST_STREAM, 0, id, uint32Bytes(2));
  if (kind === 'status alone') return headers(id, true, ...OK_HEAD, ['grpc-status', '7']);
  if (kind === 'no gRPC') return headers(id, true, [':status', '503']);
  const head = kind === 'packed' ? [...OK_HEAD, ['grpc-encoding', 'gzip'] as const] : OK_HEAD;
  const content = data(id, contentOf(answer), cut);
  const status = kind === 'status' ? '5' : '0';
  const trailers =
    kind === 'no status'
      ? headers(id, true, ['x-end', '1'])
      : headers(id, true, ['grpc-status', status], ['grpc-message', 'as%20asked']);
  return Buffer.concat([headers(id, false, ...head), content, trailers]);
}

/** Answers the first connection once it has all requests; takes any further, and says nothing. */
class Server {
  readonly #listener: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #isUsed = false;

  constructor(requests: number, chunks: readonly Uint8Array[]) {
    this.#listener = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      if (this.#isUsed) socket.destroy();
      else this.#answer(socket, requests, chunks);
      this.#isUsed = true;
    });
  }

  #answer(socket: net.Socket, requests: number, chunks: readonly Uint8Array[]): void {
    const reader = new FrameReader(1_000_000);
    let seen = 0;
    const sink = {
      onFrame: (type: number): boolean => {
        if (type === FrameType.HEADERS) seen += 1;
        if (type === FrameType.HEADERS && seen === requests) {
          for (const chunk of chunks) socket.write(chunk);
        }
        return true;
      },
      onMisshapen: (): boolean => true,
    };
    let skip = 24;
    socket.on('data', (chunk: Buffer) => {
      reader.read(chunk, sink, Math.min(skip, chunk.length));
      skip = Math.max(0, skip - chunk.length);
    });
    socket.write(opening(false));
  }

  async port(): Promise<number> {
    this.#listener.listen(0, '127.0.0.1');
    await once(this.#listener, 'listening');
    return (this.#listener.address() as net.AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
  }
}

interface Ended {
  readonly code: Code;
  readonly response: Uint8Array;
}

async function call(client: GrpcClient, timeoutMs: number): Promise<Ended> {
  try {
    const { response } = await invokeUnary(client, PATH, Buffer.from('hello'), { timeoutMs });
    return { code: Code.OK, response };
  } catch (thrown) {
    if (thrown instanceof StatusError) return { code: thrown.code, response: Buffer.alloc(0) };
    throw thrown;
  }
}

function judgeAnswer(answer: Answer, { code, response }: Ended): Verdict {
  const wanted = CODES[answer.kind];
  if (wanted === undefined) return code === Code.OK ? 'went well' : undefined;
  if (code !== wanted) return `ends with ${code}, not ${wanted}`;
  const message = answer.kind === 'empty message' ? Buffer.alloc(0) : answer.message;
  if (code !== Code.OK || Buffer.from(response).equals(message)) return undefined;
  return 'another message came';
}

async function judge(input: Input): Promise<Verdict> {
  const isInOrder = input.changes.length === 0;
  const answers = Buffer.concat(input.answers.map((answer, at) => bytesOf(answer, at * 2 + 1)));
  const bytes = input.changes.reduce(changed, answers);
  const server = new Server(input.answers.length, chunksOf(bytes, input.sizes));
  const address = `127.0.0.1:${await server.port()}`;
  const methods = new Map([[PATH, 'unary'] as const]);
  const client = connectGrpc({ address, methods, maxConnections: 1 });
  const timeoutMs = isInOrder ? IN_ORDER_MS : CHANGED_MS;
  const ended = await Promise.all(input.answers.map(() => call(client, timeoutMs)));
  client.close();
  server.close();
  const { connections: _closing, ...held } = client.held;
  const left = Object.entries(held).filter(([, amount]) => amount !== 0);
  if (left.length > 0) return `left behind: ${JSON.stringify(left)}`;
  if (!isInOrder) return undefined;
  for (const [at, answer] of input.answers.entries()) {
    const wrong = judgeAnswer(answer, ended[at] ?? { code: Code.OK, response: Buffer.alloc(0) });
    if (wrong !== undefined) return `call ${at}, answered with ${answer.kind}: ${wrong}`;
  }
  return undefined;
}

const answer: fc.Arbitrary<Answer> = fc.record({
  kind: fc.constantFrom(...KINDS),
  message: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 60 }),
    fc.constantFrom(3_000, 7_000).map((size) => new Uint8Array(size)),
  ),
  cut: fc.nat({ max: 100 }),
});

export const grpcClientTarget = waitingTarget({
  name: 'grpc-client',
  runsPerBatch: 10,
  input: fc.record({
    answers: fc.array(answer, { minLength: 1, maxLength: 6 }),
    changes: fc.oneof(fc.constant([]), fc.array(byteChanges, { minLength: 1, maxLength: 2 })),
    sizes: chunkSizes,
  }),
  judge,
});
