import test from 'ava';
import { defaultIoThreads } from './io-threads.ts';

test('one thread below four cores, then half of them, eight at most', (t) => {
  const counts = [1, 2, 3, 4, 7, 8, 16, 64].map((cores) => defaultIoThreads(cores, 'linux'));
  t.deepEqual(counts, [1, 1, 1, 2, 3, 4, 8, 8]);
  t.is(defaultIoThreads(64, 'darwin'), 1, 'where ports can not be shared');
});
