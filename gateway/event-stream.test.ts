import test from 'ava';
import { unavailable } from '../common/status.ts';
import { eventText } from './event-stream.ts';

const NEVER_MS = 1_000_000;

async function* messages(...all: readonly unknown[]): AsyncGenerator<{ n: number }> {
  for (const one of all) {
    if (one instanceof Error) throw one;
    yield { n: one as number };
  }
}

async function textOf(stream: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const part of stream) text += part;
  return text;
}

test('a line of data for each message, then the end', async (t) => {
  const text = await textOf(eventText({ n: 0 }, messages(1, 2), NEVER_MS));
  t.is(text, 'data: {"n":0}\n\ndata: {"n":1}\n\ndata: {"n":2}\n\n');
});

test('a stream that breaks says why, as an event of its own', async (t) => {
  const text = await textOf(eventText({ n: 0 }, messages(1, unavailable('gone')), NEVER_MS));
  t.true(text.endsWith('event: failure\ndata: {"error":"gone","code":"UNAVAILABLE"}\n\n'));
});

test('silence is filled with comments, and no message is lost by it', async (t) => {
  const gate = Promise.withResolvers<IteratorResult<{ n: number }>>();
  const results = [gate.promise, Promise.resolve({ done: true as const, value: undefined })];
  const rest = {
    next: () => results.shift() ?? Promise.reject(new Error('asked too often')),
  } as AsyncIterator<{ n: number }>;
  const stream = eventText({ n: 0 }, rest, 1);
  t.is((await stream.next()).value, 'data: {"n":0}\n\n');
  for (let beat = 0; beat < 3; beat += 1) t.is((await stream.next()).value, ': still there\n\n');
  gate.resolve({ done: false, value: { n: 1 } });
  t.is((await stream.next()).value, 'data: {"n":1}\n\n');
  t.true((await stream.next()).done);
});

test('a reader that leaves ends what it read from', async (t) => {
  const ended = Promise.withResolvers<void>();
  async function* source(): AsyncGenerator<{ n: number }> {
    try {
      yield { n: 1 };
      yield { n: 2 };
    } finally {
      ended.resolve();
    }
  }
  for await (const _ of eventText({ n: 0 }, source(), NEVER_MS)) if (_.includes('1')) break;
  await ended.promise;
  t.pass();
});
