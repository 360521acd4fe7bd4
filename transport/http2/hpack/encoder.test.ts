import test from 'ava';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder, mostBlockBytes, prebuiltBlock } from './encoder.ts';
import type { HeaderField } from './header-field.ts';
import { headerField } from './header-field.ts';
import { IndexingPolicy } from './indexing-policy.ts';

function encode(encoder: HpackEncoder, fields: readonly HeaderField[]): Uint8Array {
  const target = new Uint8Array(mostBlockBytes(fields));
  return target.subarray(0, encoder.encode(fields, target));
}

function hex(encoder: HpackEncoder, ...fields: readonly HeaderField[]): string {
  return Buffer.from(encode(encoder, fields)).toString('hex');
}

test('what repeats takes one byte from the second time on', (t) => {
  const encoder = new HpackEncoder();
  const fields = [
    headerField(':method', 'POST'),
    headerField(':path', '/pkg.Service/Method'),
    headerField('content-type', 'application/grpc'),
    headerField('te', 'trailers'),
  ];
  t.true(encode(encoder, fields).length > 30);
  t.is(encode(encoder, fields).length, 4);
});

test('secrets are never indexed, by name or by wish', (t) => {
  const encoder = new HpackEncoder(new IndexingPolicy(['x-api-key']));
  const secrets = [
    headerField('authorization', 'Bearer abc'),
    headerField('cookie', 'a=b'),
    headerField('x-api-key', 'k'),
    headerField('x-other', 'told', true),
  ];
  const decoder = new HpackDecoder();
  const first = encode(encoder, secrets);
  const list = decoder.decode(first);
  t.deepEqual(
    list.fields.map(({ isSecret }) => isSecret),
    [true, true, true, true],
  );
  t.is(decoder.tableBytes, 0);
  t.deepEqual(encode(encoder, secrets), first, 'the second time too');
});

test('a secret value is sent whole even when the static or dynamic table has it', (t) => {
  const encoder = new HpackEncoder();
  t.is(hex(encoder, headerField(':method', 'GET', true)), '1203474554');
  hex(encoder, headerField('x', 'y'));
  t.is(hex(encoder, headerField('x', 'y', true)), '1001780179');
});

test('of what differs each time only the first enters the table, for its name', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const blocks = ['5S', '6S', '7S'].map((value) => {
    const block = encode(encoder, [headerField('grpc-timeout', value)]).slice();
    t.is(decoder.decode(block).fields[0]?.value, value);
    return block.length;
  });
  t.is(decoder.tableBytes, 46);
  t.deepEqual(blocks, [14, 5, 5]);
  decoder.decode(encode(encoder, [headerField('date', 'today')]));
  t.is(decoder.tableBytes, 46, 'the static table has the name');
});

test('a field of over half the table stays out of it', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  decoder.decode(encode(encoder, [headerField('x', 'y'.repeat(2016))]));
  t.is(decoder.tableBytes, 0);
  decoder.decode(encode(encoder, [headerField('x', 'y'.repeat(2015))]));
  t.is(decoder.tableBytes, 2048);
});

test('a change of the table size is told at the start of the next block, once', (t) => {
  const encoder = new HpackEncoder();
  const field = headerField(':method', 'GET');
  encoder.setPeerMaxTableBytes(65_536);
  t.is(hex(encoder, field), '82', 'ours is as large as we ever want it');
  encoder.setPeerMaxTableBytes(100);
  t.is(hex(encoder, field), '3f4582');
  t.is(hex(encoder, field), '82');
  encoder.setPeerMaxTableBytes(0);
  encoder.setPeerMaxTableBytes(4096);
  t.is(hex(encoder, field), '203fe11f82', 'first the smallest, then the one that is');
  t.is(hex(encoder, field), '82');
});

test('an encoder of a small table says so in its first block', (t) => {
  t.is(hex(new HpackEncoder(undefined, 0), headerField('a', 'b')), '200001610162');
  const large = new HpackEncoder(undefined, 8192);
  t.is(hex(large, headerField(':method', 'GET')), '82');
  large.setPeerMaxTableBytes(8192);
  t.is(hex(large, headerField(':method', 'GET')), '3fe13f82');
});

test('prebuilt blocks are right in any state, and carry the updates that are due', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const fields = [
    headerField(':status', '200'),
    headerField('content-type', 'application/grpc'),
    headerField('authorization', 'x', true),
  ];
  const block = prebuiltBlock(fields);
  const target = new Uint8Array(block.length + 10);
  for (const peerMaxBytes of [4096, 4096, 50, 0, 4096]) {
    encoder.setPeerMaxTableBytes(peerMaxBytes);
    decoder.setMaxTableBytes(peerMaxBytes);
    const end = encoder.encodePrebuilt(block, target);
    t.deepEqual(decoder.decode(target, 0, end).fields, fields);
    decoder.decode(encode(encoder, [headerField('x', 'y')]));
  }
  t.is(encoder.encodePrebuilt(block, target), block.length);
});

test('a constant list is right whatever happens to the table between', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const constant = [headerField(':method', 'POST'), headerField('te', 'trailers')];
  const target = new Uint8Array(200);
  const lengths = [4096, 4096, 4096, 0, 0, 4096, 4096, 4096].map((peerMaxBytes, time) => {
    encoder.setPeerMaxTableBytes(peerMaxBytes);
    decoder.setMaxTableBytes(peerMaxBytes);
    const own = headerField('x', `${time >> 1}`);
    const behind = encoder.encodeConstant(constant, target, 3);
    const end = encoder.encode([own], target, behind);
    t.deepEqual(decoder.decode(target, 3, end).fields, [...constant, own]);
    return behind - 3;
  });
  t.deepEqual(lengths, [12, 2, 2, 13, 12, 15, 2, 2]);
});

test('constant lists beyond those that are remembered are right too', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const target = new Uint8Array(200);
  const lists = Array.from({ length: 100 }, (_, at) => [headerField('x', `${at}`)]);
  for (let round = 0; round < 3; round += 1) {
    for (const list of lists) {
      const end = encoder.encodeConstant(list, target);
      t.deepEqual(decoder.decode(target, 0, end).fields, list);
    }
  }
});

test('a field that can not be written is refused, and the tables stay equal', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  decoder.decode(encode(encoder, [headerField('kept', 'so far')]));
  const bad = [headerField('a', 'b'), headerField('c', '世界')];
  t.throws(() => encode(encoder, bad), { instanceOf: RangeError, message: /above 255/ });
  for (const fields of [[headerField('a', 'b')], [headerField('kept', 'so far')]]) {
    t.deepEqual(decoder.decode(encode(encoder, fields)).fields, fields);
  }
  t.is(decoder.tableBytes, 34 + 42);
});

test('entries that were evicted are never named, the others of their name still are', (t) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  encoder.setPeerMaxTableBytes(200);
  const lengthOf = (...values: readonly string[]): number => {
    const fields = values.map((value) => headerField('x', value.repeat(30)));
    const block = encode(encoder, fields);
    t.deepEqual(decoder.decode(block).fields, fields);
    return block.length;
  };
  lengthOf('a', 'b', 'c');
  t.is(lengthOf('a', 'b', 'c'), 3, 'all three fit');
  t.true(lengthOf('d') > 1);
  t.is(lengthOf('d', 'c', 'b'), 3);
  t.true(lengthOf('a') > 1, 'was evicted');
  t.is(lengthOf('a', 'd', 'c'), 3);
});
