// Which resets of a peer count against it: those that make work for nothing, and no honest ones.
import test from 'ava';
import { CLIENT_PREFACE, ErrorCode } from '../frames/constants.ts';
import { Connection } from './connection.ts';
import { EchoHandler } from './echo-handler.ts';
import { parseFrame } from './frame-text.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { connectionOptions } from './options.ts';

const { resets, prematureResetMs } = DEFAULT_LIMITS;

function world() {
  const handler = new EchoHandler();
  const connection = new Connection(connectionOptions(true), handler, 0);
  handler.serve(connection);
  const receive = (nowMs: number, ...lines: readonly string[]): void => {
    connection.receive(Buffer.concat(lines.map(parseFrame)), nowMs);
    connection.take();
  };
  connection.receive(CLIENT_PREFACE, 0);
  receive(0, 'SETTINGS', 'SETTINGS ack');
  return { connection, handler, receive };
}

const numbers = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, at) => 2 * (from + at) + 1);

test('streams that were given their time may be reset, however many they are', (t) => {
  const { connection, handler, receive } = world();
  const round = 500;
  for (let at = 0; at < 10; at += 1) {
    const ids = numbers(round, at * round);
    const nowMs = at * (prematureResetMs + 1);
    receive(nowMs, ...ids.map((id) => `HEADERS ${id} POST`));
    t.is(connection.openStreams, round);
    receive(nowMs + prematureResetMs + 1, ...ids.map((id) => `RST_STREAM ${id} CANCEL`));
    t.is(connection.openStreams, 0);
  }
  t.true(10 * round > 2 * resets);
  t.deepEqual(handler.limits, []);
});

test('streams that are reset as soon as they are opened end the connection', (t) => {
  const { connection, handler, receive } = world();
  let count = 0;
  for (const id of numbers(2 * resets)) {
    receive(count / 100, `HEADERS ${id} POST`, `RST_STREAM ${id} CANCEL`);
    if (connection.isFailed) break;
    count += 1;
  }
  t.is(count, resets);
  t.deepEqual(handler.limits, ['resets']);
});

test('a reset that crosses our own is free; one stream reset again and again is not', (t) => {
  const { connection, handler, receive } = world();
  for (let at = 0; at < 5; at += 1) {
    const ids = numbers(resets, at * resets);
    receive(0, ...ids.map((id) => `HEADERS ${id} POST`));
    for (const stream of connection.streams) connection.reset(stream, ErrorCode.NO_ERROR);
    receive(0, ...ids.map((id) => `RST_STREAM ${id} CANCEL`));
    t.false(connection.isFailed);
  }
  t.deepEqual(handler.limits, []);
  for (let at = 0; at <= resets; at += 1) receive(0, 'RST_STREAM 1 CANCEL');
  t.true(connection.isFailed);
  t.deepEqual(handler.limits, ['resets']);
});
