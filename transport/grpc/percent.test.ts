import test from 'ava';
import fc from 'fast-check';
import { decodeStatusMessage, encodeStatusMessage } from './percent.ts';
import { MAX_STATUS_MESSAGE_BYTES } from './status-message.ts';

test('any text comes back, and is printable ASCII in between', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const value = encodeStatusMessage(text);
      t.regex(value, /^[ -~]*$/);
      t.is(decodeStatusMessage(value), text.toWellFormed());
    }),
    { numRuns: 500 },
  );
});

test('only what must be is encoded, as the specification has it', (t) => {
  t.is(encodeStatusMessage('plain "text"; a/b?c=d&e#f +g'), 'plain "text"; a/b?c=d&e#f +g');
  t.is(encodeStatusMessage('100%'), '100%25');
  t.is(encodeStatusMessage('\t\n\x7f'), '%09%0A%7F');
  t.is(
    encodeStatusMessage('\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n'),
    '%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A',
  );
});

test('what is no escape stays, what is no UTF-8 is replaced', (t) => {
  t.is(decodeStatusMessage('100%'), '100%');
  t.is(decodeStatusMessage('%zz%4'), '%zz%4');
  t.is(decodeStatusMessage('%e4%41'), '\ufffdA');
  t.is(decodeStatusMessage('%e2%98%ba %E2%98%BA'), '☺ ☺');
  t.is(decodeStatusMessage(Buffer.from('raw ☺').toString('latin1')), 'raw ☺');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), (value) => {
      t.true(decodeStatusMessage(value).length <= value.length);
    }),
  );
});

test('long text is cut to what trailers have room for', (t) => {
  const value = encodeStatusMessage('☺'.repeat(5000));
  t.true(value.length <= MAX_STATUS_MESSAGE_BYTES);
  t.true(decodeStatusMessage(value).endsWith('☺...'));
});
