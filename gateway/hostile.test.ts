import { connect, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { MAX_HEADER_BYTES } from '../common/http-limits.ts';
import { DOUBLER, doubler } from './testing/doubler.ts';
import { startedGateway } from './testing/started.ts';

async function start(t: ExecutionContext) {
  const gateway = await startedGateway({ inference: doubler(), drainTimeoutMs: 500 });
  t.teardown(gateway.stop);
  const port = Number(new URL(gateway.url).port);
  /** What comes back on a connection that sends this, until the server ends it. */
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket: Socket = connect(port, '127.0.0.1', () => socket.write(text));
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk.toString();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(answer));
    });
  const isUp = async (): Promise<boolean> => (await gateway.get('/v2/health/live')).status === 200;
  return { gateway, raw, isUp };
}

const INFER = `/v2/models/${DOUBLER}/infer`;
const JSON_TYPE = { 'content-type': 'application/json' };

test('what is no HTTP is answered in the same form, and the connection ends', async (t) => {
  const { raw, isUp } = await start(t);
  const cases = [
    ['GET / HTTP/9.9\r\n\r\n', 400],
    ['\x16\x03\x01\x02\x00\x01\x00', 400],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(MAX_HEADER_BYTES)}\r\n\r\n`, 431],
    [`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n`, 400],
    [
      `POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked` +
        '\r\n\r\n',
      400,
    ],
    [`POST ${INFER} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`, 400],
  ] as const;
  for (const [text, status] of cases) {
    const answer = await raw(text);
    t.regex(answer, new RegExp(`^HTTP/1.1 ${status} `), text.slice(0, 60));
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Record<string, unknown>;
    t.deepEqual(Object.keys(body), ['error', 'code']);
  }
  t.true(await isUp());
});

test('hostile JSON is the mistake of who sent it', async (t) => {
  const { gateway, isUp } = await start(t);
  const bodies = [
    '['.repeat(1_000_000),
    '{"a":'.repeat(100_000),
    `{"inputs":${'['.repeat(101)}${']'.repeat(101)}}`,
    '{"__proto__":{"inputs":[]}}',
    '{"inputs":[{"name":"X","datatype":"FP32","shape":[1e308,1e308],"data":[1]}]}',
    '{"inputs":[{"name":"X","datatype":"FP32","shape":[99999999999999999999],"data":[1]}]}',
    '{"inputs":[{"name":"X","datatype":"INT64","shape":[1],"data":[1e400]}]}',
    `{"inputs":[{"name":"X","datatype":"INT64","shape":[1],"data":[${'9'.repeat(1_000_000)}]}]}`,
    `{"inputs":[{"name":"X","datatype":"FP32","shape":[1],"data":[${'[],'.repeat(300_000)}1]}]}`,
    `{"inputs":[{"name":"${'\\'.repeat(99_999)}`,
    '"',
    'null',
    '1',
    'true',
    '{"inputs":null}',
    '\u0000',
    '{"inputs":[{}]}trailing',
  ];
  for (const body of bodies) {
    for (const path of [INFER, '/api/v1/jobs', '/api/v1/models', '/v2/repository/index']) {
      const answer = await gateway.send(path, { method: 'POST', body, headers: JSON_TYPE });
      const isRefused = answer.status >= 400 && answer.status < 500;
      // The index has no required field, and nobody answers administration here.
      const isHarmless = answer.status === 501 || path === '/v2/repository/index';
      t.true(isRefused || isHarmless, `${path} ${body.slice(0, 60)}: ${answer.text.slice(0, 200)}`);
    }
  }
  t.deepEqual(gateway.lines, []);
  t.true(await isUp());
});

test('content types that a route does not take are 415', async (t) => {
  const { gateway } = await start(t);
  for (const type of ['text/xml', 'application/x-www-form-urlencoded', 'x', 'application/json/x']) {
    const headers = { 'content-type': type };
    const answer = await gateway.send('/api/v1/jobs', { method: 'POST', body: '{}', headers });
    t.is(answer.status, 415, type);
    t.is(answer.json.code, 'INVALID_ARGUMENT');
  }
});

test('a body that is cut off, and one that never comes, leave the server as it was', async (t) => {
  const { gateway, isUp } = await start(t);
  const { port } = new URL(gateway.url);
  const sockets = ['{"inputs":[', ''].map((body) => {
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(`POST ${INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n${body}`);
    return socket;
  });
  await gateway.get('/v2/health/live');
  for (const socket of sockets) socket.destroy();
  t.true(await isUp());
});

test('administration bodies have a smaller limit', async (t) => {
  const { gateway } = await start(t);
  const body = `{"a":"${'x'.repeat(5_000_000)}"}`;
  const answer = await gateway.send('/api/v1/jobs', { method: 'POST', body, headers: JSON_TYPE });
  t.is(answer.status, 413);
  t.regex(answer.text, /limit of 4 MiB/);
});
