// A connection over a socket that takes nothing: what waits there is told, and given up with it.
import { Duplex } from 'node:stream';
import test from 'ava';
import { Connection } from '../connection/connection.ts';
import { EchoHandler } from '../connection/echo-handler.ts';
import { parseFrame } from '../connection/frame-text.ts';
import { connectionOptions } from '../connection/options.ts';
import { CLIENT_PREFACE, ErrorCode } from '../frames/constants.ts';
import { ConnectionSocket } from './connection-socket.ts';

/** A call whose echo is 18,000 bytes. */
const OPENED = ['SETTINGS', 'SETTINGS ack', 'HEADERS 1 POST', 'DATA 1 len=9000', 'DATA 1 len=9000'];

/** Takes one write, and is done with it when told so. */
class SlowSocket extends Duplex {
  #done: (() => void) | undefined;

  constructor() {
    super({ writableHighWaterMark: 1_000 });
  }
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.#done = done;
  }

  /** Takes all that is written, until nothing more comes. */
  async takeAll(): Promise<void> {
    while (this.#done !== undefined) {
      const done = this.#done;
      this.#done = undefined;
      done();
      await turn();
    }
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('bytes that the socket has not taken are told when they change', async (t) => {
  const handler = new EchoHandler();
  const connection = new Connection(connectionOptions(true), handler, 0);
  handler.serve(connection);
  const socket = new SlowSocket();
  const shell = new ConnectionSocket(socket, connection, () => 0);
  const told: number[] = [];
  shell.onUnsent = (unsentBytes) => told.push(unsentBytes);
  await socket.takeAll();
  socket.push(Buffer.concat([CLIENT_PREFACE, ...OPENED.map(parseFrame)]));
  await turn();
  const most = Math.max(...told);
  t.true(most > 18_000 && most < 19_000, `${told}`);
  t.is(told.at(-1), most);
  await socket.takeAll();
  t.is(told.at(-1), 0);
  socket.push(Buffer.concat(['HEADERS 3 POST', 'DATA 3 len=9000'].map(parseFrame)));
  await turn();
  t.true((told.at(-1) ?? 0) > 9_000);
  socket.destroy();
  await turn();
  t.is(told.at(-1), 0);
});

test('a peer that takes nothing does not keep a connection that has failed', async (t) => {
  const handler = new EchoHandler();
  const connection = new Connection(connectionOptions(true), handler, 0);
  handler.serve(connection);
  const socket = new SlowSocket();
  const shell = new ConnectionSocket(socket, connection, () => 0);
  shell.lingerMs = 10;
  await socket.takeAll();
  socket.push(Buffer.concat([CLIENT_PREFACE, ...OPENED.map(parseFrame)]));
  await turn();
  t.true(socket.writableNeedDrain);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  connection.fail(ErrorCode.NO_ERROR, 'the peer has gone silent');
  shell.flush();
  t.false(socket.destroyed, 'it has a moment to take what is there');
  await closed;
});

test('the last answers of a drained connection have longer to leave than a GOAWAY', async (t) => {
  const handler = new EchoHandler();
  const connection = new Connection(connectionOptions(true), handler, 0);
  handler.serve(connection);
  const socket = new SlowSocket();
  const shell = new ConnectionSocket(socket, connection, () => 0);
  shell.lingerMs = 1;
  await socket.takeAll();
  const frames = [...OPENED, 'DATA 1 end len=900', 'GOAWAY last=0 NO_ERROR'];
  socket.push(Buffer.concat([CLIENT_PREFACE, ...frames.map(parseFrame)]));
  await turn();
  t.true(connection.isDone);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const timer = Promise.withResolvers<void>();
  // Behind the timer that would have ended it, which was set before with no more time.
  setTimeout(timer.resolve, 20);
  await timer.promise;
  t.false(socket.destroyed);
  await socket.takeAll();
  await closed;
  t.true(socket.writableFinished);
});
