// Flow control of calls that are passed on: who does not read is waited for at the other end, with
// no more than a window here, and keeps nobody else waiting.
import type http2 from 'node:http2';
import test from 'ava';
import { answerOf, framed, inferRequest, rawCaller } from '../test/support/raw-caller.ts';
import { echo, type Scripted, scriptedCluster } from '../test/support/scripted-cluster.ts';
import { until } from '../test/support/small-cluster.ts';
import { MOST_STREAM_WINDOW_BYTES } from '../transport/client/client.ts';
import { GRPC_HEAD } from '../transport/client/foreign-server.contract.ts';

const MIB = 1024 * 1024;
const SMALL = framed(inferRequest(10));
/** Turns of the event loop without a change, after which nothing moves any more. */
const QUIET_TURNS = 300;

/** Waits until nothing moves, and returns the most that the router has held until then. */
async function mostHeld({ cluster }: Scripted, moved: () => number): Promise<number> {
  let [most, before, quietTurns] = [0, -1, 0];
  await until('nothing moves any more', () => {
    const { answerBytes, requestBytes } = cluster.front();
    const heldBytes = answerBytes + requestBytes + cluster.held();
    most = Math.max(most, heldBytes);
    const now = moved() + heldBytes;
    quietTurns = now === before ? quietTurns + 1 : 0;
    before = now;
    return quietTurns > QUIET_TURNS;
  });
  return most;
}

/** Writes so many bytes, as they are taken. */
function pour(stream: http2.Http2Stream, sizeBytes: number, prefix: Buffer): { bytes: number } {
  const poured = { bytes: prefix.length };
  const chunk = Buffer.alloc(64 * 1024);
  const more = (): void => {
    while (poured.bytes < sizeBytes) {
      const piece = chunk.subarray(0, Math.min(chunk.length, sizeBytes - poured.bytes));
      poured.bytes += piece.length;
      if (!stream.write(piece)) return void stream.once('drain', more);
    }
    stream.end();
  };
  stream.write(prefix);
  more();
  return poured;
}

/** The beginning of a message of so many bytes. */
const announced = (sizeBytes: number): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(sizeBytes - 5, 1);
  return prefix;
};

test('of an answer that nobody reads the router holds a window at most', async (t) => {
  const size = 32 * MIB;
  let poured = { bytes: 0 };
  const scripted = await scriptedCluster(
    t,
    ({ stream }) => {
      stream.respond(GRPC_HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      poured = pour(stream, size, announced(size));
    },
    { nodes: 1 },
  );
  for (const readBytes of [0, 8 * MIB]) {
    const stream = scripted.caller.open();
    stream.end(SMALL);
    let read = 0;
    await new Promise<void>((resolve) => {
      stream.once('response', () => {
        if (readBytes === 0) return resolve();
        stream.on('data', (chunk: Buffer) => {
          read += chunk.length;
          if (read < readBytes || stream.isPaused()) return;
          stream.pause();
          resolve();
        });
      });
    });
    const most = await mostHeld(scripted, () => poured.bytes);
    t.true(most > 0 && most <= MOST_STREAM_WINDOW_BYTES, `${most} bytes were held`);
    t.true(poured.bytes < readBytes + 12 * MIB, 'the rest waits at the node');
    stream.removeAllListeners('data');
    const answered = answerOf(stream);
    stream.resume();
    t.is((await answered).body.length + read, size);
  }
});

test('of a request that its node does not read the router holds a window at most', async (t) => {
  const size = 32 * MIB;
  const scripted = await scriptedCluster(t, () => {}, { nodes: 1 });
  const stream = scripted.caller.open();
  const message = inferRequest(size);
  const head = framed(message).subarray(0, 1_000);
  const poured = pour(stream, message.length + 5, head);
  await until('it is at the node', () => scripted.hits.length === 1);
  const most = await mostHeld(scripted, () => poured.bytes);
  t.true(most > 0 && most <= MOST_STREAM_WINDOW_BYTES, `${most} bytes were held`);
  t.true(poured.bytes < 12 * MIB, 'the rest waits at the caller');
  const [hit] = scripted.hits;
  const answered = answerOf(stream);
  if (hit !== undefined) void echo(hit);
  t.is((await answered).body.length, message.length + 5);
});

test('a connection whose answers nobody reads keeps no other waiting', async (t) => {
  const answer = framed(inferRequest(MIB));
  const { caller, cluster } = await scriptedCluster(
    t,
    async ({ stream, body }) => {
      await body();
      stream.respond(GRPC_HEAD, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(answer);
    },
    { nodes: 1 },
  );
  const stalled = Array.from({ length: 90 }, () => {
    const stream = caller.open();
    stream.pause();
    stream.end(SMALL);
    return stream;
  });
  await Promise.all(stalled.map((stream) => new Promise((done) => stream.once('response', done))));
  const honest = rawCaller(cluster.address);
  for (const from of [honest, caller]) {
    for (let at = 0; at < 5; at += 1) {
      const told = await from.send([SMALL]);
      t.is(told.status, '0', told.text);
      t.true(told.body.equals(answer));
    }
  }
  t.true(cluster.front().answerBytes <= (stalled.length * MIB) / 4);
  honest.session.destroy();
});

test('a node that reads nothing keeps no calls to another waiting, and gets no more', async (t) => {
  const { caller, cluster, hits } = await scriptedCluster(t, (hit) => {
    if (hit.node === 1) void echo(hit);
  });
  const message = framed(inferRequest(2 * MIB));
  const uploads = Array.from({ length: 20 }, () => {
    const stream = caller.open();
    const upload = { answer: answerOf(stream), isAnswered: false };
    void upload.answer.then(() => {
      upload.isAnswered = true;
    });
    stream.end(message);
    return upload;
  });
  const stuck = (): number => hits.filter(({ node }) => node === 0).length;
  await until('all but those of one node are answered', () => {
    const answered = uploads.filter(({ isAnswered }) => isAnswered).length;
    return hits.length === uploads.length && answered === uploads.length - stuck();
  });
  const before = stuck();
  t.true(before > 0 && before <= uploads.length / 2, 'calls are shared by what is outstanding');
  const honest = rawCaller(cluster.address);
  for (const from of [honest, caller]) {
    for (let at = 0; at < 10; at += 1) t.is((await from.send([SMALL])).status, '0');
  }
  t.is(stuck(), before, 'the node with the least outstanding takes them');
  honest.session.destroy();
});
