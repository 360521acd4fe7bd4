import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { type AddressInfo, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { blobsContract } from './blobs.contract.ts';
import { openDirectoryBlobs } from './directory.ts';
import { httpBlobs } from './http-client.ts';
import { serveBlobs } from './http-server.ts';

async function served(options: { maxBlobBytes?: number } = {}) {
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

blobsContract('http', served);

async function start(t: ExecutionContext, options: { maxBlobBytes?: number } = {}) {
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
