import test from 'ava';
import { createLog } from '../common/log.ts';
import { Code, notFound, StatusError } from '../common/status.ts';
import type { Backend } from './backend.ts';
import { clientOf, type ServiceDefinition, serveDefinition } from './definition.ts';
import { invokeUnary } from './invoke.ts';
import { type HandlerContext, mergeBackends } from './service.ts';

const log = createLog({ role: 'test', level: 'silent' });

/** A service as ts-proto would define it, of numbers in decimal. */
const serialize = (value: number): Buffer => Buffer.from(String(value));
const deserialize = (bytes: Buffer): number => {
  const value = Number(bytes.toString());
  if (Number.isNaN(value)) throw new Error('not a number');
  return value;
};
const codec = {
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
};
const NumberService = {
  negate: { path: '/n.N/Negate', requestStream: false, responseStream: false, ...codec },
  upTo: { path: '/n.N/UpTo', requestStream: false, responseStream: true, ...codec },
  sum: { path: '/n.N/Sum', requestStream: true, responseStream: false, ...codec },
  double: { path: '/n.N/Double', requestStream: true, responseStream: true, ...codec },
} as const satisfies ServiceDefinition;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const aborted = Promise.withResolvers<void>();

async function* upTo(end: number, context: HandlerContext) {
  context.signal.addEventListener('abort', () => aborted.resolve(), { once: true });
  for (let value = 1; value <= end; value++) yield value;
}

const service = serveDefinition(
  NumberService,
  {
    negate: async (value) => {
      if (value === 404) throw notFound('no such number');
      if (value === 500) throw new Error('unforeseen');
      return -value;
    },
    upTo,
    sum: async (values) => {
      let total = 0;
      for await (const value of values) total += value;
      return total;
    },
    async *double(values) {
      for await (const value of values) yield 2 * value;
    },
  },
  log,
);
const client = clientOf(NumberService, service);

test('each kind of method is served and called by its types', async (t) => {
  t.is(await client.negate(5), -5);
  t.deepEqual(
    await collect(client.upTo(100)),
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  t.is(await client.sum([1, 2, 3]), 6);
  t.deepEqual(await collect(client.double([1, 2, 3])), [2, 4, 6]);
});

test('errors of handlers keep their code; unforeseen ones are INTERNAL', async (t) => {
  t.is(
    (await t.throwsAsync(client.negate(404), { instanceOf: StatusError }))?.code,
    Code.NOT_FOUND,
  );
  t.is((await t.throwsAsync(client.negate(500), { instanceOf: StatusError }))?.code, Code.INTERNAL);
});

test('a request that does not decode is INVALID_ARGUMENT', async (t) => {
  const bad = Buffer.from('x');
  const error = await t.throwsAsync(invokeUnary(service, '/n.N/Negate', bad), {
    instanceOf: StatusError,
  });
  t.is(error?.code, Code.INVALID_ARGUMENT);
  t.regex(error?.message ?? '', /Negate can't be decoded: not a number/);
});

test('leaving a stream early aborts its handler', async (t) => {
  for await (const value of client.upTo(1_000_000)) if (value === 3) break;
  await aborted.promise;
  t.pass();
});

test('merged backends answer what each answers, once', async (t) => {
  const other: Backend = {
    methods: new Map([['/o.O/One', 'unary']]),
    unary: (call) => call.succeed(Uint8Array.of(1)),
    stream: () => {},
  };
  const merged = mergeBackends([service, other]);
  t.is((await invokeUnary(merged, '/o.O/One', new Uint8Array())).response[0], 1);
  t.is(await clientOf(NumberService, merged).negate(1), -1);
  t.throws(() => mergeBackends([other, other]), { message: /\/o\.O\/One is answered by two/ });
});

test('the methods of a definition are told with their kinds', (t) => {
  t.is(service.methods.size, Object.keys(NumberService).length);
  for (const { path, requestStream, responseStream } of Object.values(NumberService)) {
    const kind = service.methods.get(path);
    t.is(kind === 'client_stream' || kind === 'bidi_stream', requestStream, path);
    t.is(kind === 'server_stream' || kind === 'bidi_stream', responseStream, path);
  }
});
