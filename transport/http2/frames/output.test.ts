import test from 'ava';
import { ErrorCode, Flag, FrameType } from './constants.ts';
import {
  writeGoaway,
  writeHeaderBlock,
  writePing,
  writeReset,
  writeSettings,
  writeSettingsAck,
  writeWindowUpdate,
} from './control-frames.ts';
import { BlockPool, Output, REFERENCE_BYTES } from './output.ts';

const hex = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString('hex');

test('small frames leave in one buffer, byte for byte as RFC 9113 draws them', (t) => {
  const output = new Output(new BlockPool());
  writeSettings(output, [0x3, 100, 0x4, 0x7fffffff]);
  writeSettingsAck(output);
  writePing(output, Buffer.from('xx01234567'), 2, true);
  writeReset(output, 0x7fffffff, ErrorCode.CANCEL);
  writeWindowUpdate(output, 0, 0x10000);
  writeGoaway(output, 5, ErrorCode.PROTOCOL_ERROR, 'why');
  const sizeBytes = output.sizeBytes;
  const taken = output.take();
  t.is(taken.length, 1);
  t.is(Buffer.concat(taken).length, sizeBytes);
  t.is(
    hex(taken),
    ['00000c040000000000', '000300000064', '00047fffffff', '000000040100000000'].join('') +
      '0000080601000000003031323334353637' +
      '0000040300' +
      '7fffffff00000008' +
      '00000408000000000000010000' +
      '00000b0700000000000000000500000001776879',
  );
  t.is(output.sizeBytes, 0);
  t.deepEqual(output.take(), []);
});

test('a header block longer than a frame goes on in CONTINUATION frames', (t) => {
  const output = new Output(new BlockPool());
  writeHeaderBlock(output, 1, Buffer.from('abcdefg'), true, 3);
  t.is(
    hex(output.take()),
    '000003010100000001616263' + '000003090000000001646566' + '00000109040000000167',
  );
  writeHeaderBlock(output, 1, Buffer.from('abcdef'), false, 3);
  t.is(hex(output.take()), '000003010000000001616263' + '000003090400000001646566');
});

test('a large payload is passed on by reference, in its place; a small one is copied', (t) => {
  const output = new Output(new BlockPool());
  const large = Buffer.alloc(REFERENCE_BYTES, 1);
  const small = Buffer.from('small');
  output.frameHeader(small.length, FrameType.DATA, 0, 1);
  output.payload(small, 0, small.length);
  output.frameHeader(large.length, FrameType.DATA, Flag.END_STREAM, 1);
  output.payload(large, 0, large.length);
  output.frameHeader(0, FrameType.DATA, Flag.END_STREAM, 3);
  t.is(output.sizeBytes, 27 + small.length + large.length);
  const taken = output.take();
  t.deepEqual(
    taken.map((chunk) => chunk.length),
    [23, large.length, 9],
  );
  t.is(taken[1]?.buffer, large.buffer);
  t.not(taken[0]?.buffer, small.buffer);
});

test('what was taken is never written again, though connections share their blocks', (t) => {
  const pool = new BlockPool();
  const one = new Output(pool);
  const other = new Output(pool);
  const kept: { bytes: Uint8Array; expected: string }[] = [];
  for (let round = 0; round < 3000; round++) {
    const output = round % 3 === 0 ? other : one;
    const text = `${round} `.repeat(round % 50);
    output.copy(Buffer.from(text), 0, text.length);
    if (round % 7 !== 0) continue;
    for (const from of [one, other]) {
      for (const bytes of from.take()) kept.push({ bytes, expected: hex([bytes]) });
    }
  }
  t.true(kept.length > 500);
  t.true(kept.every(({ bytes, expected }) => hex([bytes]) === expected));
});

test('what has left is written again; what has not is not', (t) => {
  const pool = new BlockPool();
  const outputs = [new Output(pool), new Output(pool)];
  const kept: { bytes: Uint8Array; expected: string }[] = [];
  const memories = new Set<ArrayBufferLike>();
  for (let round = 0; round < 2000; round++) {
    const output = outputs[round % 2] as Output;
    const text = `${round} `.repeat(1 + (round % 97) * 40);
    output.copy(Buffer.from(text), 0, text.length);
    output.copy(Buffer.from(text), 0, text.length);
    const taken = output.take();
    for (const { buffer } of taken) memories.add(buffer);
    const hasLeft = round % 100 !== 0;
    output.settle(hasLeft);
    if (hasLeft) continue;
    for (const bytes of taken) kept.push({ bytes, expected: hex([bytes]) });
  }
  t.true(memories.size < 50, `${memories.size} blocks`);
  t.true(kept.every(({ bytes, expected }) => hex([bytes]) === expected));
});

test('frames that outgrow a block go on in the next', (t) => {
  const output = new Output(new BlockPool());
  let expected = '';
  for (let i = 0; i < 5000; i++) {
    writeReset(output, i, i);
    expected += `0000040300${i.toString(16).padStart(8, '0')}${i.toString(16).padStart(8, '0')}`;
  }
  const taken = output.take();
  t.is(hex(taken), expected);
  t.is(taken.length, 2);
});

test('dropped bytes are gone', (t) => {
  const output = new Output(new BlockPool());
  writeSettingsAck(output);
  output.clear();
  t.is(output.sizeBytes, 0);
});
