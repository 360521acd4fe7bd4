import test from 'ava';
import fc from 'fast-check';
import { recordedCall } from './call-tracer.ts';
import { tracesEndpoint } from './endpoint.ts';
import { formatTraceparent, parseTraceparent } from './traceparent.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const sampled = `00-${TRACE}-${SPAN}-01`;
const unsampled = `00-${TRACE}-${SPAN}-00`;

test('a traceparent is read as it is written', (t) => {
  const hex = (length: number) =>
    fc
      .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
      .map((digits) => digits.join(''))
      .filter((digits) => !/^0+$/.test(digits));
  const given = fc.record({ traceId: hex(32), spanId: hex(16), isSampled: fc.boolean() });
  fc.assert(
    fc.property(given, (one) => t.deepEqual(parseTraceparent(formatTraceparent(one)), one)),
  );
});

test('what is no traceparent belongs to no trace; later versions may say more', (t) => {
  for (const text of [
    '',
    'x',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `${sampled}-more`,
    `${sampled}x`,
  ]) {
    t.is(parseTraceparent(text), undefined, text);
  }
  t.like(parseTraceparent(`cc-${TRACE}-${SPAN}-03-more`), { traceId: TRACE, isSampled: true });
  t.is(parseTraceparent(`00-${TRACE}-${SPAN}-02`)?.isSampled, false);
});

test("a caller's traceparent decides, chance only where there is none", (t) => {
  const never = (): number => {
    throw new Error('chance has no say here');
  };
  const parent = { traceId: TRACE, spanId: SPAN, isSampled: true };
  t.deepEqual(
    recordedCall(
      [
        ['traceparent', sampled],
        ['tracestate', 'a=b'],
      ],
      0,
      never,
    ),
    { parent, tracestate: 'a=b', hasTraceparent: true },
  );
  t.is(recordedCall([['traceparent', unsampled]], 1, never), undefined);
  t.is(recordedCall([], 0, never), undefined);
  t.is(
    recordedCall([], 0.5, () => 0.5),
    undefined,
  );
  t.deepEqual(
    recordedCall([['x', 'y']], 0.5, () => 0.49),
    { parent: undefined, tracestate: '', hasTraceparent: false },
  );
  const wrong = [
    ['traceparent', 'nonsense'],
    ['tracestate', 'a=b'],
  ] as const;
  t.deepEqual(
    recordedCall(wrong, 1, () => 0),
    { parent: undefined, tracestate: '', hasTraceparent: true },
  );
});

test('the address of a collector, with or without the path of its traces', (t) => {
  t.is(tracesEndpoint('http://c:4318'), 'http://c:4318/v1/traces');
  t.is(tracesEndpoint('http://c:4318/'), 'http://c:4318/v1/traces');
  t.is(tracesEndpoint('https://c/otlp'), 'https://c/otlp/v1/traces');
  t.is(tracesEndpoint('http://c:4318/v1/traces'), 'http://c:4318/v1/traces');
  for (const wrong of ['', 'c:4317', 'grpc://c:4317', '/v1/traces']) {
    t.is(tracesEndpoint(wrong), undefined, wrong);
  }
});
