import test from 'ava';
import { HpackError } from './hpack-error.ts';
import { huffmanEncode, huffmanEncodedBytes } from './huffman.ts';
import { LiteralText } from './literal-text.ts';

interface Literal {
  readonly bytes: Uint8Array;
  readonly isHuffman: boolean;
}

const plain = (text: string): Literal => ({ bytes: Buffer.from(text, 'latin1'), isHuffman: false });

function huffman(text: string): Literal {
  const bytes = new Uint8Array(huffmanEncodedBytes(text));
  huffmanEncode(text, bytes, 0);
  return { bytes, isHuffman: true };
}

function read(text: LiteralText, literal: Literal, maxBytes = 100): string | undefined {
  const { bytes, isHuffman } = literal;
  return text.decode(bytes, 0, bytes.length, isHuffman, false, maxBytes);
}

test('text is the same each time, whatever else shares its slot', (t) => {
  const text = new LiteralText();
  for (let round = 0; round < 3; round += 1) {
    for (let number = 0; number < 1000; number += 1) {
      const said = `value-${number}`;
      t.is(read(text, plain(said)), said);
      t.is(read(text, huffman(said)), said);
      t.is(text.decodedBytes, said.length);
    }
  }
});

test('the same bytes mean one thing as Huffman and another as they are', (t) => {
  const text = new LiteralText();
  const coded = huffman('www.example.com');
  const raw = Buffer.from(coded.bytes).toString('latin1');
  for (let round = 0; round < 3; round += 1) {
    t.is(read(text, coded), 'www.example.com');
    t.is(read(text, { bytes: coded.bytes, isHuffman: false }), raw);
  }
});

test('the limit holds for what is remembered too', (t) => {
  const text = new LiteralText();
  for (const literal of [plain('twelve bytes'), huffman('twelve bytes')]) {
    for (let round = 0; round < 3; round += 1) t.is(read(text, literal, 12), 'twelve bytes');
    t.is(read(text, literal, 11), undefined);
    t.is(text.decodedBytes, 12);
  }
});

test('long literals come whole, too long ones are measured only', (t) => {
  const text = new LiteralText();
  const long = '~'.repeat(20_000);
  t.is(read(text, huffman(long), 20_000), long);
  t.is(read(text, huffman(long), 19_999), undefined);
  t.is(text.decodedBytes, 20_000);
  t.is(read(text, plain(long), 19_999), undefined);
  t.is(text.decodedBytes, 20_000);
});

test('no Huffman code is an error at any length', (t) => {
  const text = new LiteralText();
  for (const length of [4, 40, 400]) {
    const literal = { bytes: new Uint8Array(length).fill(0xff), isHuffman: true };
    for (const maxBytes of [1, 10_000]) {
      t.throws(() => read(text, literal, maxBytes), { instanceOf: HpackError });
    }
  }
});
