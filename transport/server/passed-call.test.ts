// Calls that are passed on unread: the conformance suite with a proxy in between, and what the
// proxy holds of a call that nobody takes.
import '../../test/support/poison-reads.ts';
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code, StatusError, unavailable } from '../../common/status.ts';
import type { Backend } from '../backend.ts';
import { Callee, CHAT, COUNT, ECHO, SINK } from '../callee.contract.ts';
import { connectGrpc, type GrpcClient } from '../client/client.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { connect as connectGrpcjs } from '../grpcjs/client.ts';
import { connectionOptions } from '../http2/connection/options.ts';
import { ErrorCode } from '../http2/frames/constants.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { invokeStream, invokeUnary } from '../invoke.ts';
import type {
  RawBackend,
  RawCall,
  RawCallee,
  RawCaller,
  RawOpener,
  RawRequest,
} from '../raw-call.ts';
import { type OwnGrpcListener, type ServeGrpcOptions, serveGrpc } from './serve-grpc.ts';

const log = createLog({ role: 'test', level: 'silent' });
const NOBODY: Backend = {
  methods: new Map(),
  unary: (call) => call.fail(unavailable('nobody is here')),
  stream: (call) => call.fail(unavailable('nobody is here')),
};

/** A call between two connections. What one end has not taken is not consumed at the other. */
class Passing implements RawCallee, RawCaller {
  readonly #call: RawCall;
  readonly #request: RawRequest;
  #requestBytes = 0;
  #answerBytes = 0;
  #isBegun = false;

  constructor(call: RawCall, upstream: RawOpener) {
    this.#call = call;
    this.#request = upstream.open(call.path, call.fields, call.deadlineMs, this);
  }

  onRequestData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    this.#requestBytes += end - start;
    if (this.#request.sendData(bytes.subarray(start, end), isEnd)) this.onRequestWritable();
  }

  onRequestWritable(): void {
    this.#call.consumeRequest(this.#requestBytes);
    this.#requestBytes = 0;
  }

  onCallerGone(code: number): void {
    this.#request.reset(code);
  }

  onAnswerHeaders(fields: readonly HeaderField[], isEnd: boolean): void {
    this.#isBegun = true;
    this.#call.sendHeaders(fields, isEnd);
  }

  onAnswerData(bytes: Uint8Array, start: number, end: number): void {
    this.#answerBytes += end - start;
    if (this.#call.sendData(bytes, start, end)) this.onAnswerWritable();
  }

  onAnswerWritable(): void {
    this.#request.consumeAnswer(this.#answerBytes);
    this.#answerBytes = 0;
  }

  onAnswerTrailers(fields: readonly HeaderField[]): void {
    this.#call.sendTrailers(fields);
  }

  onAnswerLost(code: number, _isUnprocessed: boolean, why: string): void {
    if (this.#isBegun) this.#call.reset(code);
    else this.#call.fail(unavailable(why));
  }
}

const serve = (backend: Backend, more: Partial<ServeGrpcOptions> = {}): Promise<OwnGrpcListener> =>
  serveGrpc({ backend, host: '127.0.0.1', port: 0, log, ...more });

interface Chain {
  readonly node: OwnGrpcListener;
  readonly proxy: OwnGrpcListener;
  readonly upstream: GrpcClient;
}

async function chain(backend: Backend, more: Partial<ServeGrpcOptions> = {}): Promise<Chain> {
  const node = await serve(backend, more);
  const upstream = connectGrpc({ address: node.address, methods: backend.methods });
  const raw: RawBackend = {
    rawMethods: backend.methods,
    raw: (call) => new Passing(call, upstream),
  };
  return { node, upstream, proxy: await serve(NOBODY, { ...more, raw }) };
}

function stop({ node, proxy, upstream }: Chain): void {
  proxy.stop();
  upstream.close();
  node.stop();
}

function through(dial: typeof connectGrpc | typeof connectGrpcjs): Connector {
  return async (backend, maxMessageBytes) => {
    const links = await chain(backend, { maxMessageBytes });
    const { address } = links.proxy;
    const client = dial({ address, methods: backend.methods, maxMessageBytes });
    return {
      backend: client,
      stop: async () => {
        client.close();
        stop(links);
      },
    };
  };
}

conformance(test, 'grpc-js through a proxy', through(connectGrpcjs));
conformance(test, 'ours through a proxy', through(connectGrpc));

test('what nobody takes is held back at the caller: a window, no more', async (t) => {
  const windowBytes = 65_535;
  const callee = new Callee();
  const { limits } = connectionOptions(true);
  const connection = { streamWindowBytes: windowBytes, connectionWindowBytes: windowBytes, limits };
  const links = await chain(callee, { connection });
  const { address } = links.proxy;
  const client = connectGrpc({ address, methods: callee.methods });
  const endless = async function* () {
    for (;;) yield new Uint8Array(16_384);
  };
  const answers = invokeStream(client, SINK, endless());
  const ended = answers.next().catch((thrown: StatusError) => thrown);
  const sinking = await callee.sinking.happened;
  const atRest = async (): Promise<number> => {
    for (let [quiet, last] = [0, -1]; ; quiet += 1) {
      const { requestBytes } = links.proxy.held;
      if (requestBytes !== last) [quiet, last] = [0, requestBytes];
      if (quiet > 200) return requestBytes;
      await turn();
    }
  };
  const held = await atRest();
  t.true(held > 0 && held <= windowBytes, `the proxy holds ${held}`);
  t.true(links.node.held.requestBytes <= windowBytes, `the node holds ${held}`);
  sinking.fail(new StatusError(Code.ABORTED, 'enough'));
  const error = await ended;
  t.true(error instanceof StatusError && error.code === Code.ABORTED, String(error));
  while (links.proxy.held.calls + links.node.held.calls > 0) await turn();
  t.like(links.proxy.held, { requestBytes: 0, answerBytes: 0, deadlines: 0 });
  t.like(links.node.held, { requestBytes: 0, answerBytes: 0, deadlines: 0 });
  client.close();
  stop(links);
});

test('a call tells its head and its deadline, and can be answered at once', async (t) => {
  const heads: RawCall[] = [];
  const raw: RawBackend = {
    rawMethods: new Map([[ECHO, 'unary']]),
    raw(call) {
      heads.push(call);
      call.succeed(Uint8Array.of(7), [['x-trailer', 'yes']]);
      return undefined;
    },
  };
  const server = await serve(new Callee(), { raw });
  const methods = new Callee().methods;
  const client = connectGrpc({ address: server.address, methods });
  const metadata = [['x-key', 'value']] as const;
  for (let at = 0; at < 5; at += 1) {
    const options = { metadata, timeoutMs: 10_000 };
    const { response, trailers } = await invokeUnary(client, ECHO, new Uint8Array(5), options);
    t.deepEqual([...response], [7]);
    t.deepEqual(trailers, [['x-trailer', 'yes']]);
  }
  t.true(heads.every(({ path }) => path === ECHO));
  t.deepEqual(heads[0]?.fields, heads[4]?.fields);
  t.deepEqual(heads[0]?.metadata, metadata);
  t.true(heads[0]?.fields.some(({ name }) => name === 'content-type'));
  t.true((heads[0]?.deadlineMs ?? 0) <= performance.now() + 10_000);
  client.close();
  server.stop();
});

test('an owner that throws, or sends what no header may be, harms its own call only', async (t) => {
  const raw: RawBackend = {
    rawMethods: new Map([
      [ECHO, 'unary'],
      [CHAT, 'bidi_stream'],
      [COUNT, 'server_stream'],
    ]),
    raw(call) {
      if (call.path === ECHO) throw new Error('a mistake');
      const value = call.path === CHAT ? 'two\r\nlines' : 'h\u{100}gh';
      call.sendHeaders([headerField(':status', '200'), headerField('x-key', value)], true);
      t.is(call.sendData(new Uint8Array(1)), false, 'it is over');
      return undefined;
    },
  };
  const callee = new Callee();
  const server = await serve(callee, { raw });
  const client = connectGrpc({ address: server.address, methods: callee.methods });
  const failed = async (path: string): Promise<unknown> => {
    try {
      if (path === ECHO) return await invokeUnary(client, path, new Uint8Array(1));
      return await invokeStream(client, path, []).next();
    } catch (thrown) {
      return thrown;
    }
  };
  for (const path of [ECHO, CHAT, COUNT]) {
    const error = await failed(path);
    t.true(error instanceof StatusError && error.code === Code.INTERNAL, `${path}: ${error}`);
    t.regex(String(error), path === ECHO ? /a mistake/ : /INTERNAL_ERROR/);
  }
  while (server.held.calls > 0) await turn();
  t.like(server.held, { requestBytes: 0, deadlines: 0 });
  client.close();
  server.stop();
});

test('a deadline, a caller that leaves and a stop are told to the owner, once', async (t) => {
  const told: string[] = [];
  const heard = Promise.withResolvers<RawCall>();
  const raw: RawBackend = {
    rawMethods: new Map([[ECHO, 'unary']]),
    raw(call) {
      heard.resolve(call);
      return {
        onRequestData() {},
        onAnswerWritable() {},
        onCallerGone: (code, why) => void told.push(`${code} ${why}`),
      };
    },
  };
  const callee = new Callee();
  const server = await serve(callee, { raw, defaultDeadlineMs: 30 });
  const client = connectGrpc({ address: server.address, methods: callee.methods });
  const streaming = { ...callee, methods: new Map([[ECHO, 'bidi_stream' as const]]) };
  const naming = connectGrpc({ address: server.address, methods: streaming.methods });
  const ended = invokeStream(naming, ECHO, [new Uint8Array(3)]).next();
  const error = await t.throwsAsync(ended, { instanceOf: StatusError });
  t.is(error?.code, Code.DEADLINE_EXCEEDED);
  t.deepEqual(told, [`${ErrorCode.CANCEL} call named no deadline and took longer than 30 ms`]);
  (await heard.promise).consumeRequest(0);
  (await heard.promise).succeed(new Uint8Array(1));
  while (server.held.calls > 0) await turn();
  client.close();
  naming.close();
  server.stop();
});
