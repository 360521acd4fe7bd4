// What the client makes of answers, right and wrong ones, from servers of node:http2.
import '../../test/support/poison-reads.ts';
import { gzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { Code, type CodeName, codeName } from '../../common/status.ts';
import { ConnectionLost, type MethodKind } from '../backend.ts';
import { invokeStream, invokeUnary } from '../invoke.ts';
import { connectGrpc, type GrpcClient } from './client.ts';
import {
  answer,
  failureOf,
  foreignServer,
  framed,
  GRPC_HEAD,
  PATH,
  type Script,
} from './foreign-server.contract.ts';

const NOTHING = new Uint8Array();
const MAX_BYTES = 100_000;

async function withServer(
  script: Script,
  run: (client: GrpcClient) => Promise<void>,
  kind: MethodKind = 'unary',
): Promise<void> {
  const server = await foreignServer(script);
  const methods = new Map([[PATH, kind]]);
  const client = connectGrpc({ address: server.address, methods, maxMessageBytes: MAX_BYTES });
  try {
    await run(client);
  } finally {
    client.close();
    await server.stop();
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const unaryText = async (client: GrpcClient): Promise<string> =>
  textOf((await invokeUnary(client, PATH, NOTHING)).response);

async function collect(answers: AsyncIterable<Uint8Array>): Promise<string[]> {
  const texts: string[] = [];
  for await (const message of answers) texts.push(textOf(message));
  return texts;
}

/** A unary call and a stream to a server that answers so end in this way. */
async function bothFail(t: ExecutionContext, script: Script, code: CodeName, text: RegExp) {
  for (const kind of ['unary', 'bidi_stream'] as const) {
    await withServer(
      script,
      async (client) => {
        const call =
          kind === 'unary'
            ? invokeUnary(client, PATH, NOTHING)
            : collect(invokeStream(client, PATH, [NOTHING]));
        const error = await failureOf(call);
        t.is(codeName(error.code), code, `${kind}: ${error.message}`);
        t.regex(error.message, text, kind);
        t.false(error instanceof ConnectionLost, kind);
      },
      kind,
    );
  }
}

test('a message in any pieces is put together', async (t) => {
  const script: Script = (stream) => {
    stream.respond(GRPC_HEAD, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-a': 'b' }));
    const bytes = [...framed('in many pieces')];
    const next = (): void => {
      const byte = bytes.shift();
      if (byte === undefined) stream.end();
      else stream.write(Buffer.of(byte), () => setImmediate(next));
    };
    next();
  };
  await withServer(script, async (client) => {
    const { response, trailers } = await invokeUnary(client, PATH, NOTHING);
    t.is(textOf(response), 'in many pieces');
    t.deepEqual(trailers, [['x-a', 'b']]);
  });
});

test('the request is a gRPC request: head, timeout, one message', async (t) => {
  const seen: unknown[] = [];
  const script: Script = (stream, headers) => {
    const content: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => content.push(chunk));
    stream.on('end', () => {
      seen.push(headers, Buffer.concat(content));
      answer(stream, framed('ok'));
    });
  };
  await withServer(script, async (client) => {
    const metadata = [['x-a', 'b']] as const;
    await invokeUnary(client, PATH, Buffer.from('hi'), { metadata, timeoutMs: 30_000 });
    const [headers, content] = seen as [Record<string, string>, Buffer];
    t.is(headers[':method'], 'POST');
    t.is(headers[':path'], PATH);
    t.is(headers[':authority'], client.address);
    t.is(headers.te, 'trailers');
    t.is(headers['content-type'], 'application/grpc');
    t.regex(headers['grpc-timeout'] ?? '', /^(30000|29\d\d0)m$/);
    t.is(headers['x-a'], 'b');
    t.deepEqual(content, framed('hi'));
  });
});

test('Trailers-Only: the status of a head that ends the stream', async (t) => {
  const script: Script = (stream) =>
    stream.respond(
      { ...GRPC_HEAD, 'grpc-status': '5', 'grpc-message': 'no%20such', 'x-a': 'b' },
      { endStream: true },
    );
  await bothFail(t, script, 'NOT_FOUND', /^no such$/);
  // A proxy's HTTP status does not matter beside a grpc-status.
  const odd: Script = (stream) =>
    stream.respond({ ':status': 503, 'grpc-status': '7' }, { endStream: true });
  await bothFail(t, odd, 'PERMISSION_DENIED', /^$/);
});

test('HTTP statuses and content types that are not gRPC’s', async (t) => {
  const page =
    (status: number, type: string): Script =>
    (stream) => {
      stream.respond({ ':status': status, 'content-type': type });
      stream.end('<html>');
    };
  await bothFail(t, page(404, 'text/html'), 'UNIMPLEMENTED', /HTTP status 404 .*text\/html/);
  await bothFail(t, page(503, 'text/html'), 'UNAVAILABLE', /HTTP status 503/);
  await bothFail(t, page(200, 'application/json'), 'UNKNOWN', /application\/json/);
  const bare: Script = (stream) => stream.respond({ ':status': 429 }, { endStream: true });
  await bothFail(t, bare, 'UNAVAILABLE', /429/);
});

test('an answer without grpc-status is UNKNOWN, with trailers or without', async (t) => {
  const none: Script = (stream) => {
    stream.respond(GRPC_HEAD);
    stream.end(framed('x'));
  };
  await bothFail(t, none, 'UNKNOWN', /HTTP status 200 and without grpc-status/);
  const other: Script = (stream) => {
    stream.respond(GRPC_HEAD, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-a': 'b' }));
    stream.end(framed('x'));
  };
  await bothFail(t, other, 'UNKNOWN', /without grpc-status/);
});

test('one answer is wanted: none, two, and half of one are INTERNAL', async (t) => {
  for (const kind of ['unary', 'client_stream'] as const) {
    const cases: readonly [Buffer, RegExp][] = [
      [Buffer.alloc(0), /answered OK without a message/],
      [Buffer.concat([framed('a'), framed('b')]), /answered more than once/],
      [framed('abc').subarray(0, 6), /content ended inside a message/],
      [framed('abc', 7), /flag 7/],
      [framed('abc', 1), /grpc-encoding names no compression/],
    ];
    for (const [content, text] of cases) {
      await withServer(
        (stream) => answer(stream, content),
        async (client) => {
          const call =
            kind === 'unary'
              ? invokeUnary(client, PATH, NOTHING)
              : collect(invokeStream(client, PATH, []));
          const error = await failureOf(call);
          t.is(codeName(error.code), 'INTERNAL', `${kind}: ${error.message}`);
          t.regex(error.message, text);
        },
        kind,
      );
    }
  }
});

test('the error of a call counts though messages came before it', async (t) => {
  const script: Script = (stream) => {
    stream.respond(GRPC_HEAD, { waitForTrailers: true });
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-status': '10', 'grpc-message': 'late' }),
    );
    stream.end(framed('a'));
  };
  await bothFail(t, script, 'ABORTED', /^late$/);
});

test('messages above the limit are refused by their announced length, either way', async (t) => {
  const announced = Buffer.from([0, 0, 1, 134, 161]);
  const endless: Script = (stream) => {
    stream.respond(GRPC_HEAD);
    stream.write(announced);
  };
  await bothFail(t, endless, 'RESOURCE_EXHAUSTED', /100001 bytes .* limit of 100000 bytes/);
  const reset = Promise.withResolvers<number>();
  const script: Script = (stream, ...more) => {
    stream.on('close', () => reset.resolve(stream.rstCode));
    endless(stream, ...more);
  };
  await withServer(script, async (client) => {
    await failureOf(invokeUnary(client, PATH, NOTHING), Code.RESOURCE_EXHAUSTED);
    t.is(await reset.promise, 8, 'CANCEL');
    const large = new Uint8Array(MAX_BYTES + 1);
    await failureOf(invokeUnary(client, PATH, large), Code.RESOURCE_EXHAUSTED);
  });
});

test('gzip is inflated within the limit, small ones and large ones, in their order', async (t) => {
  const script: Script = (stream, headers) => {
    const large = 'y'.repeat(MAX_BYTES);
    const noise = Buffer.alloc(70_000, 'n');
    const messages = [framed(gzipSync('small'), 1), framed('plain'), framed(gzipSync(large), 1)];
    if (headers['x-how'] === 'bomb') messages.push(framed(gzipSync(`${large}!`), 1));
    if (headers['x-how'] === 'one') messages.splice(1);
    if (headers['x-how'] === 'large') messages.splice(0, 2);
    if (headers['x-how'] === 'broken') messages.splice(0, 3, framed(noise, 1));
    answer(stream, Buffer.concat(messages), { 'grpc-encoding': 'gzip' });
  };
  const how = (text: string) => ({ metadata: [['x-how', text]] as const });
  await withServer(script, async (client) => {
    t.is(textOf((await invokeUnary(client, PATH, NOTHING, how('one'))).response), 'small');
    t.is((await invokeUnary(client, PATH, NOTHING, how('large'))).response.length, MAX_BYTES);
    await failureOf(invokeUnary(client, PATH, NOTHING, how('broken')), Code.INTERNAL);
  });
  await withServer(
    script,
    async (client) => {
      const texts = await collect(invokeStream(client, PATH, [], how('')));
      t.deepEqual(
        texts.map((text) => text.slice(0, 5)),
        ['small', 'plain', 'yyyyy'],
      );
      const bomb = collect(invokeStream(client, PATH, [], how('bomb')));
      const error = await failureOf(bomb, Code.RESOURCE_EXHAUSTED);
      t.regex(error.message, /inflates to more than the limit of 100000 bytes/);
    },
    'bidi_stream',
  );
});

test('a reset tells what it means: refused is safe to repeat, others have a code', async (t) => {
  const cases: readonly [number, CodeName, boolean | undefined][] = [
    [7, 'UNAVAILABLE', false],
    [8, 'CANCELLED', undefined],
    [2, 'INTERNAL', undefined],
    [0, 'INTERNAL', undefined],
    [11, 'RESOURCE_EXHAUSTED', undefined],
    [12, 'PERMISSION_DENIED', undefined],
  ];
  for (const [reset, code, mayHaveRun] of cases) {
    for (const kind of ['unary', 'bidi_stream'] as const) {
      await withServer(
        (stream) => stream.close(reset),
        async (client) => {
          const call =
            kind === 'unary'
              ? invokeUnary(client, PATH, NOTHING)
              : collect(invokeStream(client, PATH, []));
          const error = await failureOf(call);
          t.is(codeName(error.code), code, `reset ${reset}: ${error.message}`);
          const told = error instanceof ConnectionLost ? error.mayHaveRun : undefined;
          t.is(told, mayHaveRun, `reset ${reset}`);
        },
        kind,
      );
    }
  }
});

test('an early answer ends the call while its request waits for the window', async (t) => {
  const closed = Promise.withResolvers<void>();
  const script: Script = (stream) => {
    stream.on('close', closed.resolve);
    stream.respond({ ...GRPC_HEAD, 'grpc-status': '8' }, { endStream: true });
  };
  const server = await foreignServer(script);
  const methods = new Map([[PATH, 'unary']] as const);
  const client = connectGrpc({ address: server.address, methods });
  const large = new Uint8Array(10_000_000);
  const error = await failureOf(invokeUnary(client, PATH, large));
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  await closed.promise;
  await client.drain();
  await server.stop();
});

test('a lost connection: nothing came back, and something had', async (t) => {
  const cut: Script = (_stream, _headers, session) => session.socket.destroy();
  await withServer(cut, async (client) => {
    const error = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
    t.true(error instanceof ConnectionLost && error.mayHaveRun, error.message);
    t.regex(error.message, new RegExp(client.address));
  });
  const late: Script = (stream, _headers, session) => {
    stream.respond(GRPC_HEAD);
    stream.write(framed('a').subarray(0, 5), () => setImmediate(() => session.socket.destroy()));
  };
  await withServer(late, async (client) => {
    const error = await failureOf(invokeUnary(client, PATH, NOTHING), Code.UNAVAILABLE);
    t.false(error instanceof ConnectionLost, error.message);
    t.regex(error.message, /in the middle of the answer/);
    t.is(await failureOf(unaryText(client)).then(({ code }) => code), Code.UNAVAILABLE);
  });
});
