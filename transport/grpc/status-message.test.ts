import test from 'ava';
import fc from 'fast-check';
import { MAX_STATUS_MESSAGE_BYTES, wireMessage } from './status-message.ts';

test('any text fits the headers once percent-encoded', (t) => {
  const long = fc.string({ unit: 'binary', maxLength: 6000, size: 'max' });
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), long), (text) => {
      const sent = wireMessage(text);
      return encodeURI(sent).length <= MAX_STATUS_MESSAGE_BYTES + 3;
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test('text that fits is not touched', (t) => {
  for (const text of [
    '',
    'plain',
    'Grüße, 世界 🎉',
    '100%',
    'x'.repeat(MAX_STATUS_MESSAGE_BYTES),
  ]) {
    t.is(wireMessage(text), text);
  }
});

test('longer text is cut between characters, half characters are replaced', (t) => {
  const cut = wireMessage('🎉'.repeat(2000));
  t.true(cut.endsWith('🎉...'));
  t.is(wireMessage('a\ud83cb'), 'a\ufffdb');
});
