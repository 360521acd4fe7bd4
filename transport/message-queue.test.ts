import test from 'ava';
import { MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES, MessageQueue } from './message-queue.ts';

const message = (value: number, sizeBytes = 1): Uint8Array => new Uint8Array(sizeBytes).fill(value);

test('a full queue tells the pusher to hold, an empty one to go on', async (t) => {
  const queue = new MessageQueue();
  let rooms = 0;
  queue.onRoom = () => {
    rooms++;
  };
  for (let at = 1; at < MAX_QUEUED_MESSAGES; at++) t.true(queue.push(message(at)));
  t.false(queue.push(message(MAX_QUEUED_MESSAGES)));
  for (let at = 1; at <= MAX_QUEUED_MESSAGES; at++) {
    t.is(rooms, 0);
    t.is((await queue.next()).value?.[0], at);
  }
  t.is(rooms, 1);
});

test('bytes count too', (t) => {
  const queue = new MessageQueue();
  t.true(queue.push(message(1)));
  t.false(queue.push(message(2, MAX_QUEUED_BYTES)));
});

test('what was pushed before the end is still taken; then the end is told', async (t) => {
  const queue = new MessageQueue();
  queue.push(message(1));
  queue.fail(new Error('lost'));
  t.false(queue.push(message(2)));
  t.is((await queue.next()).value?.[0], 1);
  await t.throwsAsync(queue.next(), { message: 'lost' });
  await t.throwsAsync(queue.next(), { message: 'lost' });
});

test('a taker that waits gets the next message or the end', async (t) => {
  const queue = new MessageQueue();
  const first = queue.next();
  t.true(queue.push(message(7)));
  t.is((await first).value?.[0], 7);
  const last = queue.next();
  queue.end();
  t.true((await last).done);
});

test('a taker that leaves early is told once, and not after the end', async (t) => {
  let returns = 0;
  const leave = async (queue: MessageQueue): Promise<void> => {
    queue.onReturn = () => {
      returns++;
    };
    await queue.return();
    await queue.return();
  };
  await leave(new MessageQueue());
  t.is(returns, 1);
  const ended = new MessageQueue();
  ended.end();
  await leave(ended);
  t.is(returns, 1);
});
