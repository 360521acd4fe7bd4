import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { heldBytes } from '../../test/support/held-bytes.ts';
import { restClient, serverUrl } from './rest.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

async function served(t: ExecutionContext, answer: Answer): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => void server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

test('JSON goes out and comes back', async (t) => {
  const base = await served(t, (request, response) => {
    request.pipe(response.setHeader('content-type', String(request.headers['content-type'])));
  });
  t.deepEqual(await restClient(base).call('POST', '/x', { a: [1, null] }), { a: [1, null] });
});

test("an error carries the server's text and code; plain text too", async (t) => {
  const base = await served(t, (request, response) => {
    if (request.url === '/plain') return response.writeHead(503).end('busy');
    return response.writeHead(404).end('{"error":"no model","code":"NOT_FOUND"}');
  });
  const client = restClient(base);
  const missing = await t.throwsAsync(client.call('GET', '/json'));
  t.true(missing instanceof StatusError && missing.code === Code.NOT_FOUND);
  t.is(missing?.message, 'no model');
  const busy = await t.throwsAsync(client.call('GET', '/plain'));
  t.true(busy instanceof StatusError && busy.code === Code.UNAVAILABLE);
  t.is(busy?.message, 'busy');
});

test('a server is named by its URL or by host and port, as in the ready line', (t) => {
  t.is(serverUrl('http://127.0.0.1:8000/'), 'http://127.0.0.1:8000');
  t.is(serverUrl('127.0.0.1:8000'), 'http://127.0.0.1:8000');
  t.is(serverUrl('[::1]:8000'), 'http://[::1]:8000');
  for (const bad of ['', 'grpc://x', 'http://', 'a b']) {
    t.throws(() => serverUrl(bad), { message: /--server .*http:\/\/127/ }, bad);
  }
});

test('what answers but is no gateway is told', async (t) => {
  const base = await served(t, (request, response) => {
    response.writeHead(request.url === '/ok' ? 200 : 404).end('<html>');
  });
  for (const path of ['/ok', '/missing']) {
    const error = await t.throwsAsync(restClient(base).call('GET', path));
    t.true(error instanceof StatusError && error.code === Code.UNAVAILABLE, path);
    t.regex(error?.message ?? '', /is no gateway of Torus/);
  }
});

test('an interrupt ends calls, uploads and watches with CANCELLED', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-rest-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'a.csv');
  writeFileSync(file, 'x');
  const stop = new AbortController();
  let waiting = 3;
  const base = await served(t, (request, response) => {
    if (request.url === '/watch') response.write('data: {}\n\n');
    waiting -= 1;
    if (waiting === 0) stop.abort();
  });
  const client = restClient(base, stop.signal);
  const watch = async () => {
    for await (const event of client.watch('/watch')) t.deepEqual(event, {});
  };
  for (const under of [client.call('GET', '/'), client.upload('/', file), watch()]) {
    const error = await t.throwsAsync(under);
    t.true(error instanceof StatusError && error.code === Code.CANCELLED, String(error));
  }
});

test('nobody there: UNAVAILABLE, and what to do', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const error = await t.throwsAsync(restClient(`http://127.0.0.1:${port}`).call('GET', '/'));
  t.true(error instanceof StatusError && error.code === Code.UNAVAILABLE);
  t.regex(error?.message ?? '', /ECONNREFUSED.*npm start.*--server URL/);
});

test('a file is streamed with its length, and counted; a missing one is told', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-rest-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'a.csv');
  writeFileSync(file, 'x'.repeat(300_000));
  const base = await served(t, (request, response) => {
    let size = 0;
    request.on('data', (chunk) => {
      size += chunk.length;
    });
    const { connection, 'content-length': length } = request.headers;
    request.on('end', () => response.end(JSON.stringify({ size, length, connection })));
  });
  const sent: number[] = [];
  const answer = await restClient(base).upload('/', file, (bytes, size) => {
    sent.push(bytes);
    t.is(size, 300_000);
  });
  // One that stays open can keep the command from ending.
  t.deepEqual(answer, { size: 300_000, length: '300000', connection: 'close' });
  t.is(sent.at(-1), 300_000);
  await t.throwsAsync(restClient(base).upload('/', join(folder, 'none')), {
    message: /cannot read the file at .*none: it is not there/,
  });
});

test.serial('an upload is never whole in memory', async (t) => {
  const MIB = 2 ** 20;
  const folder = mkdtempSync(join(tmpdir(), 'torus-rest-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'large.bin');
  writeFileSync(file, '');
  truncateSync(file, 64 * MIB);
  const base = await served(t, (request, response) => {
    request.resume().on('end', () => response.end('{}'));
  });
  const beforeBytes = heldBytes();
  let peakBytes = 0;
  let nextBytes = 0;
  await restClient(base).upload('/', file, (sentBytes) => {
    if (sentBytes < nextBytes) return;
    nextBytes += 4 * MIB;
    peakBytes = Math.max(peakBytes, heldBytes() - beforeBytes);
  });
  t.is(nextBytes, 68 * MIB);
  t.true(peakBytes < 16 * MIB, `${Math.round(peakBytes / MIB)} MiB were held`);
});

test('an answer before the end of the upload is the answer', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-rest-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'large.bin');
  writeFileSync(file, '');
  truncateSync(file, 2 ** 26);
  const base = await served(t, (_request, response) => {
    response.writeHead(413, { connection: 'close' });
    response.end('{"error":"too large","code":"RESOURCE_EXHAUSTED"}');
  });
  const error = await t.throwsAsync(restClient(base).upload('/', file), { message: 'too large' });
  t.true(error instanceof StatusError && error.code === Code.RESOURCE_EXHAUSTED);
});

test('events arrive one by one, however the stream is cut', async (t) => {
  const base = await served(t, (_request, response) => {
    response.write('data: {"n":1}\n\nda');
    setImmediate(() => response.end('ta: {"n":2}\r\n\r\n: comment\n\n'));
  });
  const seen: unknown[] = [];
  for await (const event of restClient(base).watch('/')) seen.push(event);
  t.deepEqual(seen, [{ n: 1 }, { n: 2 }]);
});
