import test from 'ava';
import { toBuffer } from './bytes.ts';

test('a view of the same bytes, of the same part of them; a Buffer as it is', (t) => {
  const part = Uint8Array.of(1, 2, 3, 4).subarray(1, 3);
  const buffer = toBuffer(part);
  t.deepEqual([...buffer], [2, 3]);
  part[0] = 9;
  t.is(buffer[0], 9);
  t.is(toBuffer(buffer), buffer);
});
