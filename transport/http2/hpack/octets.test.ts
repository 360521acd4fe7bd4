import test from 'ava';
import fc from 'fast-check';
import { octetText } from './octets.ts';

test('any octets of any length are text of as many characters', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(3), (bytes, skip) => {
      const start = Math.min(skip, bytes.length);
      const text = octetText(bytes, start, bytes.length);
      t.is(text, Buffer.from(bytes.subarray(start)).toString('latin1'));
    }),
    { numRuns: 500 },
  );
});
