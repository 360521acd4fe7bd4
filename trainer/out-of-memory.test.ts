import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { isOutOfMemory, outOfMemory } from './out-of-memory.ts';

test('a lack of memory is known by what engines say of it, other ends are not', (t) => {
  const thrown = t.throws(() => new Float32Array(2 ** 53 - 1), { instanceOf: RangeError });
  for (const text of [
    thrown.message,
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    'RuntimeError: memory access out of bounds',
    'Aborted(OOM)',
  ]) {
    t.true(isOutOfMemory(text), text);
  }
  for (const text of ['no such library', 'the loss became NaN', 'bloom filter', '']) {
    t.false(isOutOfMemory(text), text);
  }
});

test('whoever asked is told what to ask for instead', (t) => {
  const error = outOfMemory('its heap may take 8 MB');
  t.true(error instanceof StatusError && error.code === Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /\(its heap may take 8 MB\): use fewer rows, features or hidden units/);
});
