// Strings come out right however often they come again; what is not UTF-8 is refused.
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../common/status.ts';
import { TextReader } from './text.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

test('every string is read as it was written, first and later times, wherever it stands', (t) => {
  const reader = new TextReader();
  const few = fc.constantFrom(
    '',
    'a',
    'b',
    'digits',
    'digit',
    'x'.repeat(64),
    'x'.repeat(65),
    '\ufeffa',
  );
  const anything = fc.string({ unit: 'grapheme', maxLength: 80 });
  const check = (texts: string[], gap: number): void => {
    for (const text of texts) {
      const bytes = encode(text);
      const padded = Buffer.alloc(gap + bytes.length + 1, 0x61);
      padded.set(bytes, gap);
      t.is(reader.read(padded, gap, gap + bytes.length), text);
    }
  };
  const texts = fc.array(fc.oneof(few, anything), { maxLength: 20 });
  t.notThrows(() => fc.assert(fc.property(texts, fc.nat(8), check)));
});

test('what was read stays right, when its bytes are overwritten', (t) => {
  const reader = new TextReader();
  const bytes = Buffer.alloc(6);
  // More strings than there are slots, so that many fall into one that is taken.
  for (let number = 100_000; number < 101_000; number++) {
    bytes.set(encode(String(number)));
    t.is(reader.read(bytes, 0, 6), String(number));
  }
});

test('what is not UTF-8 is refused, every time', (t) => {
  const reader = new TextReader();
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0x61, 0xe2, 0x82], [0xff]]) {
    const read = (): string => reader.read(Buffer.from(bytes), 0, bytes.length);
    const error = t.throws(read, { instanceOf: StatusError });
    t.is(error.code, Code.INVALID_ARGUMENT);
  }
});
