import test from 'ava';
import { byteHash } from './byte-hash.ts';

test('texts that differ in one place spread over the slots', (t) => {
  for (const [before, after] of [
    ['', ''],
    ['00-', '-01'],
    ['/pkg.Service/Method', 'abcdefgh'],
  ]) {
    const slots = new Map<number, number>();
    const hashes = new Set<number>();
    for (let number = 0; number < 4096; number += 1) {
      const bytes = Buffer.from(`${before}${number}${after}`);
      const hash = byteHash(bytes, 0, bytes.length);
      hashes.add(hash);
      slots.set(hash & 255, (slots.get(hash & 255) ?? 0) + 1);
    }
    t.true(hashes.size > 4090, `${hashes.size} of 4096 differ`);
    t.true(slots.size > 240 && Math.max(...slots.values()) < 64);
  }
});

test('only the bytes between start and end count', (t) => {
  const bytes = Buffer.from('xxabcdefgyy');
  t.is(byteHash(bytes, 2, 9), byteHash(Buffer.from('abcdefg'), 0, 7));
  t.not(byteHash(bytes, 2, 9), byteHash(bytes, 2, 10));
  t.not(byteHash(Buffer.alloc(3), 0, 3), byteHash(Buffer.alloc(4), 0, 4));
});
