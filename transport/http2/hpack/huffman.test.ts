import test from 'ava';
import fc from 'fast-check';
import {
  huffmanDecode,
  huffmanDecodedBytes,
  huffmanEncode,
  huffmanEncodedBytes,
} from './huffman.ts';

function encode(text: string): Uint8Array {
  const target = new Uint8Array(huffmanEncodedBytes(text));
  const end = huffmanEncode(text, target, 0);
  if (end !== target.length) throw new Error(`wrote ${end} bytes, said ${target.length}`);
  return target;
}

function decode(bytes: Uint8Array): string | undefined {
  const target = Buffer.alloc(bytes.length * 2 + 2);
  const count = huffmanDecode(bytes, 0, bytes.length, target);
  return count < 0 ? undefined : target.toString('latin1', 0, count);
}

const latin1 = fc
  .uint8Array({ maxLength: 300 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));

test('any octets come back, and their length is known before', (t) => {
  fc.assert(
    fc.property(latin1, (text) => {
      const bytes = encode(text);
      t.is(decode(bytes), text);
      t.is(huffmanDecodedBytes(bytes, 0, bytes.length), text.length);
    }),
  );
});

test('every octet alone and between others', (t) => {
  for (let octet = 0; octet < 256; octet += 1) {
    const character = String.fromCharCode(octet);
    for (const text of [character, `a${character}`, `${character}Z${character}`]) {
      t.is(decode(encode(text)), text);
    }
  }
});

test('the codes are those of RFC 7541, appendix B', (t) => {
  const hex = (text: string): string => Buffer.from(encode(text)).toString('hex');
  t.is(hex('0'), '07', '00000 and padding');
  t.is(hex('www.example.com'), 'f1e3c2e5f23a6ba0ab90f4ff');
  t.is(hex('\x00'), 'ffc7', '13 bits: 1111111111000');
  t.is(hex('\n'), 'fffffff3', '30 bits: 3ffffffc');
  t.is(hex('\x16'), 'fffffffb', '30 bits: 3ffffffe');
  t.is(hex('\xff'), 'fffffbbf', '26 bits: 3ffffee');
});

test('padding is at most 7 bits, all ones, and EOS never comes', (t) => {
  const of = (hex: string): string | undefined => decode(Buffer.from(hex, 'hex'));
  t.is(of('1f'), 'a', '00011 and 111');
  t.is(of('1e'), undefined, 'padding with a zero');
  t.is(of('1fff'), undefined, 'padding of 11 bits');
  t.is(of('ff'), undefined, 'padding of 8 bits');
  t.is(of('ffffffff'), undefined, 'EOS and padding');
  t.is(of('fffffffc07'), undefined, 'EOS inside');
});

test('what decodes is written in one way only', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const text = decode(bytes);
      if (text !== undefined) t.deepEqual(Buffer.from(encode(text)), Buffer.from(bytes));
      t.is(huffmanDecodedBytes(bytes, 0, bytes.length), text === undefined ? -1 : text.length);
    }),
    { numRuns: 2000 },
  );
});

test('characters above 255 have no code', (t) => {
  t.is(huffmanEncodedBytes('Ā'), -1);
  t.is(huffmanEncodedBytes('a世'), -1);
});
