// A source that may fall silent for ever can't be left with `break`: this wraps it so that a signal
// ends the wait. The source is asked to end too, but its answer is not waited for.
import { Code, statusOf } from './status.ts';

/** @throws the signal's reason as a StatusError (CANCELLED when it has no code of its own). */
export async function* abortable<Item>(
  source: AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncGenerator<Item> {
  const iterator = source[Symbol.asyncIterator]();
  let abort = () => {};
  const onAbort = () => abort();
  signal.addEventListener('abort', onAbort);
  // True while the source owes an item or has ended: then its return() may never answer.
  let isPending = true;
  try {
    for (;;) {
      isPending = true;
      // A promise of its own for each item: a race against a single one would grow with every item.
      const next = await new Promise<IteratorResult<Item>>((resolve, reject) => {
        abort = () => reject(statusOf(signal.reason, Code.CANCELLED));
        if (signal.aborted) abort();
        else iterator.next().then(resolve, reject);
      });
      if (next.done) return;
      isPending = false;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    const ended = Promise.resolve(iterator.return?.());
    if (isPending) ended.catch(() => {});
    else await ended;
  }
}
