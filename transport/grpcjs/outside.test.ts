// The listener as others see it: @grpc/proto-loader and grpc-js's own clients, with a contract that
// they read themselves.
import { join } from 'node:path';
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { fromJSON, loadSync } from '@grpc/proto-loader';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import type { StreamCall, UnaryCall } from '../backend.ts';
import { Health, healthService } from '../services/health.ts';
import { serveGrpc } from './server.ts';

const log = createLog({ role: 'test', level: 'silent' });

const DEFINITION = fromJSON({
  nested: {
    outside: {
      nested: {
        Text: { fields: { text: { type: 'string', id: 1 } } },
        Words: {
          methods: {
            Shout: { comment: '', requestType: 'Text', responseType: 'Text' },
            Split: { comment: '', requestType: 'Text', responseType: 'Text', responseStream: true },
            Join: { comment: '', requestType: 'Text', responseType: 'Text', requestStream: true },
            Echo: {
              comment: '',
              requestType: 'Text',
              responseType: 'Text',
              requestStream: true,
              responseStream: true,
            },
          },
        },
      },
    },
  },
});

/** Field 1, as the short texts here are encoded. */
const encode = (text: string): Uint8Array => {
  const bytes = new TextEncoder().encode(text);
  return Uint8Array.of(10, bytes.length, ...bytes);
};
const decode = (message: Uint8Array): string => new TextDecoder().decode(message.subarray(2));

const words = {
  methods: new Map([
    ['/outside.Words/Shout', 'unary'],
    ['/outside.Words/Split', 'server_stream'],
    ['/outside.Words/Join', 'client_stream'],
    ['/outside.Words/Echo', 'bidi_stream'],
  ] as const),
  unary(call: UnaryCall): void {
    call.succeed(encode(decode(call.request).toUpperCase()), call.metadata);
  },
  stream(call: StreamCall): void {
    const got: string[] = [];
    call.onMessage = (message) => {
      const text = decode(message);
      got.push(text);
      if (call.path.endsWith('Echo')) call.send(encode(text));
      if (call.path.endsWith('Split')) for (const word of text.split(' ')) call.send(encode(word));
    };
    call.onHalfClose = () => {
      if (call.path.endsWith('Join')) call.send(encode(got.join(' ')));
      call.end();
    };
  },
};

/** What a loaded client's methods look like; the package has no types for them. */
type Method = (...args: unknown[]) => NodeJS.EventEmitter & {
  write(message: unknown): void;
  end(): void;
  cancel(): void;
};
type Loaded = Client & Record<string, Method>;

function clientOf(definition: ReturnType<typeof fromJSON>, path: string, address: string): Loaded {
  let found: unknown = loadPackageDefinition(definition);
  for (const part of path.split('.')) found = (found as Record<string, unknown>)[part];
  const LoadedClient = found as new (...args: unknown[]) => Loaded;
  return new LoadedClient(address, credentials.createInsecure());
}

interface Text {
  readonly text: string;
}

async function wordsClient() {
  const server = await serveGrpc({ backend: words, host: '127.0.0.1', port: 0, log });
  const client = clientOf(DEFINITION, 'outside.Words', server.address);
  const stop = (): void => {
    client.close();
    server.stop();
  };
  return { client, stop };
}

const received = async (stream: NodeJS.EventEmitter): Promise<string[]> => {
  const texts: string[] = [];
  for await (const message of stream as unknown as AsyncIterable<Text>) texts.push(message.text);
  return texts;
};

test('all kinds of call, by a client that read the contract itself', async (t) => {
  const { client, stop } = await wordsClient();
  const metadata = new Metadata();
  metadata.set('x-data-bin', Buffer.from([0, 200]));
  const trailers = Promise.withResolvers<Metadata>();
  const shouted = await new Promise<Text>((resolve, reject) => {
    client
      .Shout?.({ text: 'hello' }, metadata, (error: ServiceError | null, answer: Text) =>
        error ? reject(error) : resolve(answer),
      )
      .on('status', (status: { metadata: Metadata }) => trailers.resolve(status.metadata));
  });
  t.is(shouted.text, 'HELLO');
  t.deepEqual((await trailers.promise).get('x-data-bin'), [Buffer.from([0, 200])]);

  const split = client.Split?.({ text: 'a b c' });
  t.deepEqual(split && (await received(split)), ['a', 'b', 'c']);

  const joined = await new Promise<Text>((resolve, reject) => {
    const stream = client.Join?.((error: ServiceError | null, answer: Text) =>
      error ? reject(error) : resolve(answer),
    );
    for (const text of ['x', 'y']) stream?.write({ text });
    stream?.end();
  });
  t.is(joined.text, 'x y');

  const echo = client.Echo?.();
  for (const text of ['1', '2']) echo?.write({ text });
  echo?.end();
  t.deepEqual(echo && (await received(echo)), ['1', '2']);
  stop();
});

test('a method that is not served is UNIMPLEMENTED', async (t) => {
  const { client, stop } = await wordsClient();
  const same = (bytes: Buffer): Buffer => bytes;
  const error = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest('/outside.Words/No', same, same, Buffer.alloc(0), resolve);
  });
  t.is(error?.code, Code.UNIMPLEMENTED);
  stop();
});

test('the health service, by its contract as the file says', async (t) => {
  const health = new Health();
  const backend = healthService(health, log);
  const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log });
  const proto = join(import.meta.dirname, '../../proto/grpc/health/v1/health.proto');
  const definition = loadSync(proto, { enums: String });
  const client = clientOf(definition, 'grpc.health.v1.Health', server.address);
  const stream = client.Watch?.({ service: '' });
  const statuses: string[] = [];
  const seen = new Promise<void>((resolve) => {
    stream?.on('error', () => resolve());
    stream?.on('data', ({ status }: { status: string }) => {
      statuses.push(status);
      if (statuses.length === 1) health.set('', true);
      else stream.cancel();
    });
  });
  await seen;
  t.deepEqual(statuses, ['NOT_SERVING', 'SERVING']);
  client.close();
  server.stop();
});
