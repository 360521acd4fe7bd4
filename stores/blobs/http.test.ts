import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { type AddressInfo, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test, { type ExecutionContext } from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { drip } from '../../test/support/drip.ts';
import { untilTrue } from '../../test/support/redis-server.ts';
import { tcpProxy } from '../../test/support/tcp-proxy.ts';
import { blobsContract } from './blobs.contract.ts';
import { openDirectoryBlobs } from './directory.ts';
import { httpBlobs } from './http-client.ts';
import { type ServeBlobsOptions, serveBlobs } from './http-server.ts';
import { begun, survivesCuts } from './resumed.contract.ts';

async function served(options: ServeBlobsOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-blobs-'));
  const directory = await openDirectoryBlobs(folder);
  const server = serveBlobs(directory, options);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const store = httpBlobs(`http://127.0.0.1:${port}`);
  const end = async (): Promise<void> => {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await directory.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { store, end, port, folder };
}

blobsContract('http', () => served({ allowsRemoval: true }));

async function start(t: ExecutionContext, options: ServeBlobsOptions = {}) {
  const under = await served(options);
  t.teardown(under.end);
  return under;
}

test('an upload that is cut leaves nothing', async (t) => {
  const { port, folder, store } = await start(t);
  const socket = dial(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('POST /blobs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n');
  socket.write(Buffer.alloc(100_000));
  const incoming = join(folder, 'incoming');
  while ((await readdir(incoming)).length === 0) await new Promise((r) => setImmediate(r));
  socket.destroy();
  while ((await readdir(incoming)).length > 0) await new Promise((r) => setImmediate(r));
  t.deepEqual(await store.list('', 10), []);
});

test('a server that falls silent is UNAVAILABLE within a bound', async (t) => {
  const { port, store } = await start(t);
  // More than the buffers on the way hold.
  const { sha256 } = await store.write(Readable.from([Buffer.alloc(32_000_000)]), {
    maxBytes: 32_000_000,
  });
  const proxy = await tcpProxy(port);
  t.teardown(() => proxy.end());
  const base = `http://127.0.0.1:${proxy.port}`;
  const hasty = httpBlobs(base, { idleTimeoutMs: 300 });
  t.teardown(() => hasty.close());
  const reading = await begun(hasty, sha256);
  proxy.silence();
  const rest = async (): Promise<void> => {
    while (!(await reading.next()).done);
  };
  const unavailable = { instanceOf: StatusError, code: Code.UNAVAILABLE } as const;
  await t.throwsAsync(rest(), unavailable);
  await t.throwsAsync(hasty.stat(sha256), unavailable);
  await t.throwsAsync(hasty.list('', 1), unavailable);
  proxy.restore();
  // A connection that was cut just now may be asked once more.
  await untilTrue('it answers again', async () => (await hasty.stat(sha256)) !== undefined);
});

test('a blob arrives whole over a network that is cut', async (t) => {
  const { port } = await start(t);
  await survivesCuts(t, { port, open: async (at) => httpBlobs(`http://127.0.0.1:${at}`) });
});

const UPLOAD = 'POST /blobs HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n';

test('uploads and header lines that drip are answered 408 and leave nothing', async (t) => {
  const { port, folder } = await start(t, { uploadWindowMs: 300, headersTimeoutMs: 300 });
  const header = 'GET /blobs HTTP/1.1\r\nhost: x\r\nx: ';
  const starts = [header, 'GET /', UPLOAD, UPLOAD];
  const answers = await Promise.all(starts.map((start) => drip(port, start)));
  for (const answer of answers) {
    t.regex(answer, /^HTTP\/1.1 408 /);
    t.regex(answer, /"code":"DEADLINE_EXCEEDED"}/);
  }
  t.regex(answers[2] ?? '', /only \d+ bytes came for 0.3 s, at least 65536 are expected/);
  t.deepEqual(await readdir(join(folder, 'incoming')), []);
});

test('uploads past their number are told to come again', async (t) => {
  const { port } = await start(t, { maxConcurrentUploads: 1, uploadWindowMs: 1_000 });
  const first = drip(port, UPLOAD);
  const answer = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/blobs`, { method: 'POST', body: 'x' });
    return `${response.status} ${await response.text()}`;
  };
  let second = await answer();
  // The first one may not be there yet.
  while (second.startsWith('201')) second = await answer();
  t.regex(second, /^503 .*1 uploads are running, which is the limit.*UNAVAILABLE/);
  t.regex(await first, /^HTTP\/1.1 408 /);
  t.regex(await answer(), /^201 /);
});

test('what is no HTTP is answered in the form of all errors', async (t) => {
  const { port } = await start(t);
  t.regex(await drip(port, 'GET / HTTP/9.9\r\n\r\n'), /^HTTP\/1.1 400 .*"code":"INVALID_ARG/s);
  const large = `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`;
  t.regex(await drip(port, large), /^HTTP\/1.1 431 .*"code":"RESOURCE_EXHAUSTED"/s);
});

test('the limit of the server is told before the content is read', async (t) => {
  const { port } = await start(t, { maxBlobBytes: 10 });
  const body = Buffer.alloc(11);
  const response = await fetch(`http://127.0.0.1:${port}/blobs`, { method: 'POST', body });
  t.is(response.status, 413);
  t.deepEqual(await response.json(), {
    error: 'the content exceeds 10 bytes',
    code: 'RESOURCE_EXHAUSTED',
  });
});

test('nothing is removed unless the server allows it', async (t) => {
  const { port, store } = await start(t);
  const { sha256 } = await store.write(Readable.from([Buffer.from('kept')]), { maxBytes: 10 });
  const error = await t.throwsAsync(store.remove(sha256), { instanceOf: StatusError });
  t.is(error?.code, Code.PERMISSION_DENIED);
  const url = `http://127.0.0.1:${port}/blobs/${sha256}`;
  t.is((await fetch(url, { method: 'DELETE' })).status, 403);
  t.deepEqual(await store.stat(sha256), { sha256, sizeBytes: 4 });
});

test('other paths and methods are refused', async (t) => {
  const { port } = await start(t);
  const base = `http://127.0.0.1:${port}`;
  t.is((await fetch(`${base}/`)).status, 404);
  t.is((await fetch(`${base}/blobs/a/b`)).status, 404);
  t.is((await fetch(`${base}/blobs/..%2f..%2fetc%2fpasswd`)).status, 404);
  t.is((await fetch(`${base}/blobs`, { method: 'PUT' })).status, 400);
  t.is((await fetch(`${base}/blobs?limit=x`)).status, 400);
  // fetch() would mend this path, a hostile client does not.
  const [response] = await once(get({ port, host: '127.0.0.1', path: '//' }), 'response');
  t.is(response.statusCode, 400);
  response.resume();
});
