// The worked examples of RFC 7541, appendix C, as vectors: what the bytes mean, and the size of the
// dynamic table after each block.
import test from 'ava';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder, mostBlockBytes } from './encoder.ts';
import { headerField } from './header-field.ts';
import { writeInteger } from './integer.ts';

interface Example {
  readonly hex: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly tableBytes: number;
}

const REQUEST = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
] as const;

const SECURE_REQUEST = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/index.html'],
  [':authority', 'www.example.com'],
  ['custom-key', 'custom-value'],
] as const;

function requests(hex: readonly [string, string, string]): readonly Example[] {
  return [
    { hex: hex[0], headers: REQUEST, tableBytes: 57 },
    { hex: hex[1], headers: [...REQUEST, ['cache-control', 'no-cache']], tableBytes: 110 },
    { hex: hex[2], headers: SECURE_REQUEST, tableBytes: 164 },
  ];
}

const C3 = requests([
  '828684410f7777772e6578616d706c652e636f6d',
  '828684be58086e6f2d6361636865',
  '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
]);

const C4 = requests([
  '828684418cf1e3c2e5f23a6ba0ab90f4ff',
  '828684be5886a8eb10649cbf',
  '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
]);

function response(status: string, second: number): Example['headers'] {
  return [
    [':status', status],
    ['cache-control', 'private'],
    ['date', `Mon, 21 Oct 2013 20:13:${second} GMT`],
    ['location', 'https://www.example.com'],
  ];
}

/** With a table of 256 bytes: entries are evicted. */
function responses(hex: readonly [string, string, string]): readonly Example[] {
  const cookie = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
  const last = [
    ...response('200', 22),
    ['content-encoding', 'gzip'] as const,
    ['set-cookie', cookie] as const,
  ];
  return [
    { hex: hex[0], headers: response('302', 21), tableBytes: 222 },
    { hex: hex[1], headers: response('307', 21), tableBytes: 222 },
    { hex: hex[2], headers: last, tableBytes: 215 },
  ];
}

const C5 = responses([
  '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54' +
    '6e1768747470733a2f2f7777772e6578616d706c652e636f6d',
  '4803333037c1c0bf',
  '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f' +
    '3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076' +
    '657273696f6e3d31',
]);

const C6 = responses([
  '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f' +
    '0b97c8e9ae82ae43d3',
  '4883640effc1c0bf',
  '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df' +
    'dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
]);

const pairs = (fields: readonly { name: string; value: string }[]): string[][] =>
  fields.map(({ name, value }) => [name, value]);

test('integers are written as in C.1', (t) => {
  const written = (value: number, prefixMask: number): string => {
    const target = Buffer.alloc(5);
    return target.toString('hex', 0, writeInteger(target, 0, 0, prefixMask, value));
  };
  t.is(written(10, 31), '0a');
  t.is(written(1337, 31), '1f9a0a');
  t.is(written(42, 255), '2a');
});

test('single representations mean what C.2 says', (t) => {
  const one = (hex: string) => {
    const decoder = new HpackDecoder();
    return { fields: decoder.decode(Buffer.from(hex, 'hex')).fields, bytes: decoder.tableBytes };
  };
  t.deepEqual(one('400a637573746f6d2d6b65790d637573746f6d2d686561646572'), {
    fields: [headerField('custom-key', 'custom-header')],
    bytes: 55,
  });
  t.deepEqual(one('040c2f73616d706c652f70617468'), {
    fields: [headerField(':path', '/sample/path')],
    bytes: 0,
  });
  t.deepEqual(one('100870617373776f726406736563726574'), {
    fields: [headerField('password', 'secret', true)],
    bytes: 0,
  });
  t.deepEqual(one('82'), { fields: [headerField(':method', 'GET')], bytes: 0 });
});

for (const [name, examples, isSmall] of [
  ['C.3, requests without Huffman', C3, false],
  ['C.4, requests with Huffman', C4, false],
  ['C.5, responses without Huffman, with eviction', C5, true],
  ['C.6, responses with Huffman, with eviction', C6, true],
] as const) {
  test(`blocks in a row mean what ${name} says`, (t) => {
    const decoder = new HpackDecoder();
    if (isSmall) {
      decoder.setMaxTableBytes(256);
      decoder.decode(Buffer.from('3fe101', 'hex'));
    }
    for (const example of examples) {
      const list = decoder.decode(Buffer.from(example.hex, 'hex'));
      t.deepEqual(pairs(list.fields), example.headers as unknown as string[][]);
      t.is(decoder.tableBytes, example.tableBytes);
    }
  });
}

test('the encoder writes the blocks of C.4', (t) => {
  const encoder = new HpackEncoder();
  for (const { hex, headers } of C4) {
    const fields = headers.map(([name, value]) => headerField(name, value));
    const target = Buffer.alloc(mostBlockBytes(fields));
    t.is(target.toString('hex', 0, encoder.encode(fields, target)), hex);
  }
});
