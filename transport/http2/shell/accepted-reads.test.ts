import { once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import test from 'ava';
import { READ_BUFFER } from '../../read-memory.ts';
import { acceptedReads, triedReads } from './accepted-reads.ts';

test('accepted sockets of this Node read into the buffer of the thread', async (t) => {
  const reads = await acceptedReads();
  t.is(reads.problem, '');
  t.is(await acceptedReads(), reads);
});

test('what is read is told, pauses hold, and the server knows its connections', async (t) => {
  const reads = await acceptedReads();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await accepted) as [Socket];
  let read = '';
  let wanted = Promise.withResolvers<void>();
  const adopted = reads.adopt(socket, (sizeBytes) => {
    read += READ_BUFFER.toString('latin1', 0, sizeBytes);
    wanted.resolve();
  });
  t.true(adopted);
  socket.on('data', () => t.fail('nothing comes as data'));
  client.write('one');
  await wanted.promise;
  t.is(read, 'one');
  socket.pause();
  wanted = Promise.withResolvers();
  client.write(' two');
  socket.write('read on');
  await once(client, 'data');
  t.is(read, 'one');
  socket.resume();
  await wanted.promise;
  t.is(read, 'one two');
  t.is(await countOf(server), 1);
  const ended = once(socket, 'end');
  const closed = once(socket, 'close');
  client.end();
  await ended;
  await closed;
  t.is(await countOf(server), 0);
  server.close();
});

test('a Node that is made otherwise is found out, and its own way is left', async (t) => {
  const elsewhere = await triedReads(() => new Socket());
  t.regex(elsewhere.problem, /what onread gave it/);
  const socket = new Socket();
  t.false(elsewhere.adopt(socket, () => t.fail('nothing is read')));
  // A socket whose fields mean nothing to Node: its bytes would be lost.
  const idle = await triedReads((buffer, callback) => ({
    [Symbol('buffer')]: buffer,
    [Symbol('callback')]: callback,
  }));
  t.regex(idle.problem, /in its trial/);
});

test('a socket that has read already is left as it is', async (t) => {
  const reads = await acceptedReads();
  const socket = new Socket();
  socket.push('early');
  t.false(reads.adopt(socket, () => t.fail('nothing is read')));
  t.is(String(socket.read()), 'early');
});

async function countOf(server: ReturnType<typeof createServer>): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  return promise;
}
