import test from 'ava';
import { connectionAge, maxConnectionAge } from './connection-age.ts';

test('seconds become the age of connections, none leaves them', (t) => {
  t.deepEqual(connectionAge(maxConnectionAge.parse('90')), { connectionAgeMs: 90_000 });
  t.deepEqual(connectionAge(maxConnectionAge.parse(undefined)), {});
  for (const wrong of ['0', '-1', '1.5', 'never', '9999999']) {
    t.false(maxConnectionAge.safeParse(wrong).success, wrong);
  }
});
