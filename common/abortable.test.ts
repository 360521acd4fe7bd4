import test from 'ava';
import { abortable } from './abortable.ts';
import { Code, StatusError, unavailable } from './status.ts';

async function* numbers(onEnd: () => void) {
  try {
    for (let n = 1; n <= 3; n += 1) yield n;
  } finally {
    onEnd();
  }
}

test('without an abort it is the source', async (t) => {
  let ends = 0;
  const signal = new AbortController().signal;
  t.deepEqual(
    await Array.fromAsync(
      abortable(
        numbers(() => ends++),
        signal,
      ),
    ),
    [1, 2, 3],
  );
  t.is(ends, 1);
});

test('a silent source is left when the signal says so', async (t) => {
  const controller = new AbortController();
  const started = Promise.withResolvers<void>();
  async function* silent() {
    yield 1;
    started.resolve();
    await new Promise(() => {});
  }
  const reading = Array.fromAsync(abortable(silent(), controller.signal));
  await started.promise;
  controller.abort(unavailable('closing'));
  const expectation = { instanceOf: StatusError, code: Code.UNAVAILABLE, message: 'closing' };
  await t.throwsAsync(reading, expectation);
});

test('a signal that was aborted before reads nothing', async (t) => {
  let reads = 0;
  const source = { [Symbol.asyncIterator]: () => ({ next: async () => ({ value: reads++ }) }) };
  const reading = Array.fromAsync(abortable(source, AbortSignal.abort()));
  await t.throwsAsync(reading, { instanceOf: StatusError, code: Code.CANCELLED });
  t.is(reads, 0);
});

test('leaving it ends the source first', async (t) => {
  let ends = 0;
  for await (const n of abortable(
    numbers(() => ends++),
    new AbortController().signal,
  )) {
    if (n === 2) break;
  }
  t.is(ends, 1);
});
