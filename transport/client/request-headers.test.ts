// The heads of requests: what repeats is the same list, what differs is checked.
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { parseTimeoutMs } from '../grpc/timeout.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { coarseTimeoutMs, RequestHeaders } from './request-headers.ts';

const FOREVER = Number.POSITIVE_INFINITY;
const headers = (): RequestHeaders => new RequestHeaders('node:1', false);
const texts = (fields: readonly HeaderField[]): string[] =>
  fields.map(({ name, value }) => `${name}: ${value}`);

test('a coarse timeout is never less, and less than a thousandth and a microsecond more', (t) => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (timeoutMs) => {
      const coarseMs = coarseTimeoutMs(timeoutMs);
      return coarseMs >= timeoutMs && coarseMs <= timeoutMs * 1.001 + 0.0011;
    }),
  );
  t.is(coarseTimeoutMs(FOREVER), FOREVER);
  t.is(coarseTimeoutMs(59_991.3), 60_000);
  t.is(coarseTimeoutMs(250.01), 250.1);
  t.is(coarseTimeoutMs(0.0004), 0.001);
});

test('calls of a method share their list; the deadline stands apart, and is rounded up', (t) => {
  const made = headers();
  const list = made.constant('/a.B/C');
  t.is(made.constant('/a.B/C'), list);
  t.deepEqual(texts(list), [
    ':method: POST',
    ':scheme: http',
    ':path: /a.B/C',
    ':authority: node:1',
    'te: trailers',
    'content-type: application/grpc',
    'user-agent: torus',
    'grpc-accept-encoding: identity,gzip',
  ]);
  t.deepEqual(texts(made.varying(59_999.2, [])), ['grpc-timeout: 60000m']);
  t.is(made.varying(59_999.9, []), made.varying(59_995, []), 'the same for calls alike');
  t.deepEqual(made.varying(FOREVER, []), []);
  const [field] = made.varying(1.5, []);
  t.is(parseTimeoutMs(field?.value ?? ''), 1.5);
  t.is(new RequestHeaders('x', true).constant('/a.B/C')[1]?.value, 'https');
});

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === Code.INVALID_ARGUMENT) {
      return thrown.message;
    }
    throw thrown;
  }
  return '';
}

test('metadata goes behind the timeout, without names of the wire; bad values are refused', (t) => {
  const made = headers();
  const fields = made.varying(1_000, [
    ['x-text', 'a'],
    ['te', 'b'],
    ['x-bin', Uint8Array.of(0, 255)],
  ]);
  t.deepEqual(texts(fields), ['grpc-timeout: 1000m', 'x-text: a', 'x-bin: AP8']);
  for (const value of ['a\r\nb: c', 'a\nb', 'a\0b']) {
    const text = refusal(() => made.varying(1_000, [['x-secret', value]]));
    t.regex(text, /x-secret/);
    t.false(text.includes(value));
  }
  t.regex(
    refusal(() => made.constant('/a b')),
    /"\/a b" is no path/,
  );
  t.regex(
    refusal(() => made.constant('a.B/C\r\n')),
    /is no path/,
  );
});

const passed = (value: string, isSecret = false): HeaderField[] => [
  headerField('content-type', 'application/grpc+proto'),
  headerField('x-key', value, isSecret),
];

test('fields that are passed on become part of the constant list when they come again', (t) => {
  const made = headers();
  t.is(made.passedOn('/a.B/C', passed('1')), undefined);
  const before = made.beforePassed('/a.B/C');
  t.is(before.length, 5);
  const second = made.passedOn('/a.B/C', passed('1'));
  t.deepEqual(texts(second ?? []), [...texts(before), ...texts(passed('1'))]);
  t.is(made.passedOn('/a.B/C', passed('1')), second);
  t.not(made.passedOn('/a.B/D', passed('1')), second);
  t.not(made.passedOn('/a.B/C', passed('1', true)), second, 'a secret one');
});

test('fields that differ from call to call don’t pile up, and push out nothing', (t) => {
  const made = headers();
  made.passedOn('/a.B/C', passed('again'));
  const kept = made.passedOn('/a.B/C', passed('again'));
  t.is(kept?.length, 7);
  for (let at = 0; at < 1_000; at++) {
    t.is(made.passedOn('/a.B/C', passed(`call ${at}`)), undefined);
    t.is(made.passedOn('/a.B/C', passed('again')), kept);
  }
});

test('what no header may hold is not passed on, and not told', (t) => {
  const made = headers();
  for (const value of ['hidden\r\nx: y', 'hidden\n', 'hid\0den']) {
    const text = refusal(() => made.passedOn('/a.B/C', passed(value)));
    t.regex(text, /x-key/);
    t.notRegex(text, /hid/);
  }
  const bad = [headerField('X-Upper', 'a')];
  t.regex(
    refusal(() => made.passedOn('/a.B/C', bad)),
    /no name/,
  );
});
