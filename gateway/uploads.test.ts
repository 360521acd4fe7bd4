import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { type AddressInfo, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test, { type ExecutionContext } from 'ava';
import { openDirectoryBlobs } from '../stores/blobs/directory.ts';
import { postStream } from '../stores/blobs/http-call.ts';
import { httpBlobs } from '../stores/blobs/http-client.ts';
import { serveBlobs } from '../stores/blobs/http-server.ts';
import { drip } from '../test/support/drip.ts';
import type { GatewayOptions } from './gateway.ts';
import { startedGateway } from './testing/started.ts';

const MIB = 1024 * 1024;

/** A gateway in front of a blob server in front of a folder: the whole way of an upload. */
async function start(t: ExecutionContext, options: Partial<GatewayOptions> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-gateway-'));
  const directory = await openDirectoryBlobs(folder);
  const server = serveBlobs(directory);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const blobs = httpBlobs(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const gateway = await startedGateway({ blobs, drainTimeoutMs: 500, ...options });
  t.teardown(async () => {
    await gateway.stop();
    await blobs.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await directory.close();
    await rm(folder, { recursive: true, force: true });
  });
  const incoming = async (): Promise<number> => (await readdir(join(folder, 'incoming'))).length;
  return { gateway, blobs, incoming };
}

async function until(isDone: () => Promise<boolean>): Promise<void> {
  while (!(await isDone())) await new Promise((resolve) => setImmediate(resolve));
}

/** Bytes that are made as they are taken: the test itself does not hold them. */
async function* generated(
  totalBytes: number,
  onChunk?: (leftBytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let left = totalBytes; left > 0; ) {
    const chunk = Buffer.alloc(Math.min(left, 64 * 1024), left % 251);
    left -= chunk.length;
    onChunk?.(left);
    yield chunk;
  }
}

/** Fetch would hold on to the whole body. */
async function post(url: string, body: AsyncIterable<Uint8Array>, headers = {}) {
  const { status, text } = await postStream(url, {
    headers,
    body,
    signal: new AbortController().signal,
  });
  return { status, json: JSON.parse(text) as Record<string, unknown> };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of buffers that something holds on to. */
function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

test.serial('100 MB stream through in bounded memory', async (t) => {
  const { gateway, blobs } = await start(t);
  const sizeBytes = 100 * MIB;
  const beforeBytes = heldBytes();
  let peakBytes = 0;
  const body = generated(sizeBytes, (leftBytes) => {
    if (leftBytes % (5 * MIB) === 0) peakBytes = Math.max(peakBytes, heldBytes() - beforeBytes);
  });
  const answer = await post(`${gateway.url}/api/v1/blobs`, body);
  t.is(answer.status, 201);
  t.is(answer.json.sizeBytes, sizeBytes);
  t.like(await blobs.stat(String(answer.json.sha256)), { sizeBytes });
  t.true(peakBytes > 0);
  t.true(peakBytes < 50 * MIB, `${Math.round(peakBytes / MIB)} MiB were held`);
});

test('what is uploaded is what is kept, and may be empty', async (t) => {
  const { gateway, blobs } = await start(t);
  for (const body of [randomBytes(300_000), Buffer.alloc(0)]) {
    const answer = await gateway.send('/api/v1/blobs', { method: 'POST', body });
    const sha256 = createHash('sha256').update(body).digest('hex');
    t.deepEqual(answer.json, { sha256, sizeBytes: body.length });
    t.deepEqual(await blobs.stat(sha256), { sha256, sizeBytes: body.length });
  }
});

test('a client that goes away in the middle leaves nothing', async (t) => {
  const { gateway, blobs, incoming } = await start(t);
  const { port } = new URL(gateway.url);
  const socket = dial(Number(port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('POST /api/v1/blobs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n');
  socket.write(Buffer.alloc(300_000));
  await until(async () => (await incoming()) > 0);
  socket.destroy();
  await until(async () => (await incoming()) === 0);
  t.deepEqual(await blobs.list('', 10), []);
  t.is((await gateway.send('/api/v1/blobs', { method: 'POST', body: 'x' })).status, 201);
});

test('an upload that stalls is cut with 408 and leaves nothing', async (t) => {
  const { gateway, blobs, incoming } = await start(t, { uploadWindowMs: 100 });
  const stalled = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.alloc(1000));
    },
  });
  const init = { method: 'POST', body: stalled, duplex: 'half' } as RequestInit;
  const answer = await gateway.send('/api/v1/blobs', init);
  t.is(answer.status, 408);
  t.regex(String(answer.json.error), /the upload is too slow: only 1000 bytes came for 0.1 s/);
  await until(async () => (await incoming()) === 0);
  t.deepEqual(await blobs.list('', 10), []);
});

const errorIn = (answer: string): Record<string, unknown> =>
  JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Record<string, unknown>;

test('uploads that drip are cut with 408, many at once, and leave nothing', async (t) => {
  const { gateway, blobs, incoming } = await start(t, { uploadWindowMs: 300 });
  const file = 'POST /api/v1/blobs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n';
  const answers = await Promise.all(
    Array.from({ length: 16 }, () => drip(Number(new URL(gateway.url).port), file)),
  );
  for (const answer of answers) {
    t.regex(answer, /^HTTP\/1.1 408 /);
    t.is(errorIn(answer).code, 'DEADLINE_EXCEEDED');
    t.regex(String(errorIn(answer).error), /only \d+ bytes came for 0.3 s, at least 65536/);
  }
  await until(async () => (await incoming()) === 0);
  t.deepEqual(await blobs.list('', 10), []);
  t.is((await gateway.send('/api/v1/blobs', { method: 'POST', body: 'x' })).status, 201);
});

test('a form that never comes to a file, or stops in one, is cut with 408', async (t) => {
  const { gateway, incoming } = await start(t, { uploadWindowMs: 300 });
  const head =
    'POST /api/v1/models/m/versions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n' +
    'content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\ncontent-disposition: form-data;';
  for (const part of [' name="a', ' name="f"; filename="m.onnx"\r\n\r\n']) {
    const answer = await drip(Number(new URL(gateway.url).port), head + part);
    t.regex(answer, /^HTTP\/1.1 408 /, part);
    t.is(errorIn(answer).code, 'DEADLINE_EXCEEDED');
  }
  await until(async () => (await incoming()) === 0);
});

test('fields of a form that are no files are bounded', async (t) => {
  const { gateway } = await start(t);
  const body = new FormData();
  for (let at = 0; at < 100; at += 1) body.append(`field${at}`, 'x'.repeat(1000));
  const answer = await gateway.send('/api/v1/models/m/versions', { method: 'POST', body });
  t.is(answer.status, 413);
});

test('header lines that drip are answered 408 and the connection ends', async (t) => {
  const { gateway } = await start(t, { headersTimeoutMs: 300 });
  const answers = await Promise.all([
    drip(Number(new URL(gateway.url).port), 'GET /v2 HTTP/1.1\r\nhost: x\r\nx: '),
    drip(Number(new URL(gateway.url).port), 'GET /'),
  ]);
  for (const answer of answers) {
    t.regex(answer, /^HTTP\/1.1 408 /);
    t.is(errorIn(answer).code, 'DEADLINE_EXCEEDED');
  }
});

test('an upload above the limit is 413 with the limit, told or found out', async (t) => {
  const { gateway, blobs, incoming } = await start(t, { maxUploadBytes: MIB });
  const told = await gateway.send('/api/v1/blobs', { method: 'POST', body: Buffer.alloc(MIB + 1) });
  t.is(told.status, 413);
  t.regex(String(told.json.error), /limit of 1 MiB \(1048576 bytes\)/);
  const found = await post(`${gateway.url}/api/v1/blobs`, generated(2 * MIB));
  t.is(found.status, 413);
  t.is(found.json.code, 'RESOURCE_EXHAUSTED');
  t.regex(String(found.json.error), /limit of 1 MiB \(1048576 bytes\)/);
  const body = new FormData();
  body.append('model.onnx', new Blob([Buffer.alloc(2 * MIB)]), 'model.onnx');
  const form = await gateway.send('/api/v1/models/m/versions', { method: 'POST', body });
  t.is(form.status, 413);
  t.regex(String(form.json.error), /file "model.onnx" is larger than the limit of 1 MiB/);
  await until(async () => (await incoming()) === 0);
  t.deepEqual(await blobs.list('', 10), []);
});

test('JSON and forms are not files', async (t) => {
  const { gateway } = await start(t);
  for (const type of ['application/json', 'Multipart/Form-Data; boundary=x']) {
    const headers = { 'content-type': type };
    const answer = await gateway.send('/api/v1/blobs', { method: 'POST', body: '{}', headers });
    t.is(answer.status, 415, type);
    t.regex(String(answer.json.error), /application\/octet-stream/);
  }
});

test('more uploads at a time than allowed: 503, to be tried again', async (t) => {
  const { gateway, incoming } = await start(t, { maxConcurrentUploads: 1 });
  const gate = Promise.withResolvers<void>();
  const slow = new ReadableStream({
    async start(controller) {
      controller.enqueue(Buffer.alloc(1000));
      await gate.promise;
      controller.close();
    },
  });
  const init = { method: 'POST', body: slow, duplex: 'half' } as RequestInit;
  const first = gateway.send('/api/v1/blobs', init);
  await until(async () => (await incoming()) > 0);
  const second = await gateway.send('/api/v1/blobs', { method: 'POST', body: 'x' });
  t.is(second.status, 503);
  t.is(second.headers.get('retry-after'), '1');
  gate.resolve();
  t.is((await first).status, 201);
  t.is((await gateway.send('/api/v1/blobs', { method: 'POST', body: 'x' })).status, 201);
});

test('a store that is not there is 503', async (t) => {
  const { gateway } = await start(t, { blobs: httpBlobs('http://127.0.0.1:9') });
  const answer = await gateway.send('/api/v1/blobs', {
    method: 'POST',
    body: randomBytes(2 * MIB),
  });
  t.is(answer.status, 503);
  t.regex(String(answer.json.error), /no blob server answers/);
});
