import test from 'ava';
import fc from 'fast-check';
import { giveRead, lasting, READ_BUFFER } from './read-memory.ts';

/** As a socket does. */
function read(bytes: Uint8Array): void {
  READ_BUFFER.set(bytes);
}

test('what is kept of reads stays as it was, whatever is read later', (t) => {
  const reads = fc.array(
    fc.record({ seed: fc.nat(255), sizeBytes: fc.integer({ min: 1, max: 40_000 }) }),
    {
      maxLength: 40,
    },
  );
  const ranges = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 5 });
  fc.assert(
    fc.property(reads, ranges, (all, parts) => {
      const kept: { readonly bytes: Uint8Array; readonly expected: Buffer }[] = [];
      for (const { seed, sizeBytes } of all) {
        const bytes = Buffer.alloc(sizeBytes, Uint8Array.of(seed, seed + 1, seed + 2));
        read(bytes);
        giveRead(sizeBytes, (given, start, end) => {
          for (const [a, b] of [[0, sizeBytes] as const, ...parts]) {
            const from = a % sizeBytes;
            const to = from + (b % (sizeBytes - from + 1));
            const expected = Buffer.from(bytes.subarray(from, to));
            kept.push({ bytes: lasting(given, start + from, start + to), expected });
          }
          t.is(end - start, sizeBytes);
        });
        READ_BUFFER.fill(0);
      }
      return kept.every(({ bytes, expected }) => expected.equals(bytes));
    }),
    { numRuns: 50 },
  );
});

test('bytes that last already are not copied', (t) => {
  const bytes = Buffer.from('lasting');
  t.is(lasting(bytes, 0, bytes.length), bytes);
  t.is(lasting(bytes, 2, 4).buffer, bytes.buffer);
});

test('small reads lie one behind the other in memory that many share', (t) => {
  const memories = new Set<ArrayBufferLike>();
  for (let count = 0; count < 500; count += 1) {
    giveRead(100, (bytes) => memories.add(bytes.buffer));
  }
  t.true(memories.size <= 2);
});

test('a read that is large is given as it is, to be copied by who keeps it', (t) => {
  giveRead(READ_BUFFER.length, (bytes, start, end) => {
    t.is(bytes, READ_BUFFER);
    t.deepEqual([start, end], [0, READ_BUFFER.length]);
  });
});
