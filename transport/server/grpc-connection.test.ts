// What a connection of a gRPC listener counts for its caller, and against it. No sockets, no clock.
import test from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import type { Backend } from '../backend.ts';
import { Connection } from '../http2/connection/connection.ts';
import { parseFrame } from '../http2/connection/frame-text.ts';
import { DEFAULT_LIMITS } from '../http2/connection/limits.ts';
import { connectionOptions } from '../http2/connection/options.ts';
import { CLIENT_PREFACE } from '../http2/frames/constants.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { ServedListener } from './served-listener.ts';
import { DEFAULT_SERVER_LIMITS } from './server-limits.ts';

/** Answers nothing, ever. */
const SILENT: Backend = {
  methods: new Map([['/a.B/C', 'unary']]),
  unary: () => {},
  stream: () => {},
};
const { resets } = DEFAULT_LIMITS;

function world() {
  const crossed: string[] = [];
  const listener = new ServedListener({
    backend: SILENT,
    raw: undefined,
    log: createLog({ role: 'test', level: 'silent' }),
    limits: DEFAULT_SERVER_LIMITS,
    clock: new VirtualClock(),
    random: () => 0.5,
    onLimit: (name) => crossed.push(name),
  });
  const served = new GrpcConnection(listener, 'ipv4:127.0.0.1:1');
  const connection = new Connection(connectionOptions(true), served, 0);
  served.serve(connection, () => {});
  const receive = (nowMs: number, ...lines: readonly string[]): void => {
    connection.receive(Buffer.concat(lines.map(parseFrame)), nowMs);
    connection.take();
  };
  connection.receive(CLIENT_PREFACE, 0);
  receive(0, 'SETTINGS', 'SETTINGS ack');
  return { connection, crossed, listener, receive, served };
}

const HEAD = ':method=POST :scheme=http :path=/a.B/C :authority=h te=trailers';
const TYPE = 'content-type=application/grpc';

/** Calls with `timeout` that are all cancelled after `waitMs`; how many went before it ended. */
function cancelled(timeout: string, waitMs: number) {
  const w = world();
  let count = 0;
  for (let id = 1; id < 8 * resets && !w.connection.isFailed; id += 2) {
    const nowMs = id / 1_000;
    w.receive(nowMs, `HEADERS ${id} ${HEAD} ${TYPE} ${timeout}`);
    w.receive(nowMs + waitMs, `RST_STREAM ${id} CANCEL`);
    count += 1;
  }
  return { count, crossed: w.crossed };
}

test('who cancels what its deadlines end is not cut off, who just cancels is', (t) => {
  t.deepEqual(cancelled('grpc-timeout=20m', 19), { count: 4 * resets, crossed: [] });
  t.deepEqual(cancelled('', 19), { count: resets + 1, crossed: ['resets'] });
  t.deepEqual(cancelled('grpc-timeout=20m', 5), { count: resets + 1, crossed: ['resets'] });
  t.deepEqual(cancelled('grpc-timeout=60S', 5), { count: resets + 1, crossed: ['resets'] });
});

test('what a slow socket does not take counts as answers that wait, until it does', (t) => {
  const { listener, served } = world();
  served.onUnsent(200_000);
  t.is(listener.answers.heldBytes, 200_000);
  t.is(served.refusalOfAnswer(1_000), undefined);
  listener.answers.heldBytes = listener.answers.maxBytes;
  t.is(served.refusalOfAnswer(1_000)?.code, Code.RESOURCE_EXHAUSTED);
  listener.answers.heldBytes = 200_000;
  served.onUnsent(50);
  t.is(listener.answers.heldBytes, 50);
  served.onUnsent(0);
  t.is(listener.answers.heldBytes, 0);
});
