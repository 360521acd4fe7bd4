import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { formatTimeout, parseTimeoutMs } from './timeout.ts';

test('each unit means what the specification says', (t) => {
  t.is(parseTimeoutMs('2H'), 7_200_000);
  t.is(parseTimeoutMs('2M'), 120_000);
  t.is(parseTimeoutMs('2S'), 2000);
  t.is(parseTimeoutMs('250m'), 250);
  t.is(parseTimeoutMs('250u'), 0.25);
  t.is(parseTimeoutMs('250n'), 0.00025);
  t.is(parseTimeoutMs('0m'), 0);
  t.is(parseTimeoutMs('00000001S'), 1000);
  t.is(parseTimeoutMs('99999999H'), 99_999_999 * 3_600_000);
});

test('what is no timeout is refused, and what would be one is told', (t) => {
  const wrong = ['', 'S', '1', '1s', '-1S', '+1S', '1.5S', ' 1S', '1 S', '123456789S', '1SS', '٣S'];
  for (const text of [...wrong, '1'.repeat(5000)]) {
    const error = t.throws(() => parseTimeoutMs(text), { instanceOf: StatusError });
    t.is(error.code, Code.INTERNAL, text);
    t.regex(error.message, /1 to 8 digits and one of H, M, S, m, u, n/);
    t.true(error.message.length < 120);
  }
});

test('what is sent is what was meant, rounded up by a thousandth at most', (t) => {
  const anyMs = fc.oneof(
    fc.double({ min: 0, max: 5000, noNaN: true }),
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.double({ min: 0, max: 3e14, noNaN: true }),
  );
  fc.assert(
    fc.property(anyMs, (timeoutMs) => {
      const text = formatTimeout(timeoutMs) ?? '';
      t.regex(text, /^\d{1,8}[HMSmun]$/);
      const readMs = parseTimeoutMs(text);
      t.true(readMs >= timeoutMs * (1 - 1e-12), `${timeoutMs} became ${text}`);
      t.true(readMs <= timeoutMs * 1.001 + 0.001, `${timeoutMs} became ${text}`);
    }),
    { numRuns: 1000 },
  );
});

test('limits of what can be said', (t) => {
  t.is(formatTimeout(Number.POSITIVE_INFINITY), undefined);
  t.is(formatTimeout(-5), '1u');
  t.is(formatTimeout(0), '1u');
  t.is(formatTimeout(59_998.2), '59999m');
  t.is(formatTimeout(1e300), '99999999H');
});
