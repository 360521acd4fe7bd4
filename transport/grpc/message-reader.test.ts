import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import { messagePrefix, PREFIX_BYTES, writePrefix } from './message-prefix.ts';
import { MessageReader } from './message-reader.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const MEGABYTE = 1024 * 1024;

function framed(...messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(messages.flatMap((message) => [messagePrefix(message.length), message]));
}

function readAll(reader: MessageReader): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) {
    messages.push(message);
  }
  return messages;
}

function thrown(run: () => unknown): StatusError {
  try {
    run();
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const anyMessage = fc.record({
  bytes: fc.uint8Array({ maxLength: 3000, size: 'max' }),
  isCompressed: fc.boolean(),
});

/** Lengths of pieces: of one byte, shorter and longer than what is gathered. */
const anyPieces = fc.array(
  fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 900, max: 2500 })),
  { minLength: 1, maxLength: 20 },
);

test('however they are cut, messages come out as they went in, all bytes given back', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyMessage, { maxLength: 8 }),
      anyPieces,
      fc.boolean(),
      (messages, pieces, isPaused) => {
        const content = Buffer.concat(
          messages.flatMap(({ bytes, isCompressed }) => [
            messagePrefix(bytes.length, isCompressed),
            bytes,
          ]),
        );
        const reader = new MessageReader(3000);
        const read: { bytes: Uint8Array; isCompressed: boolean }[] = [];
        const take = (): void => {
          for (let bytes = reader.next(); bytes !== undefined; bytes = reader.next()) {
            read.push({ bytes, isCompressed: reader.isCompressed });
          }
        };
        let consumed = 0;
        for (let at = 0, turn = 0; at < content.length; turn += 1) {
          const end = Math.min(content.length, at + (pieces[turn % pieces.length] ?? 1));
          reader.push(content, at, end);
          at = end;
          if (isPaused) continue;
          take();
          consumed += reader.takeConsumedBytes();
          t.is(consumed, at, 'nothing that came is held back from the peer');
        }
        take();
        reader.end();
        t.is(consumed + reader.takeConsumedBytes(), content.length);
        t.is(read.length, messages.length);
        for (const [at, message] of messages.entries()) {
          t.is(read[at]?.isCompressed, message.isCompressed);
          t.is(Buffer.compare(read[at]?.bytes ?? Buffer.alloc(0), message.bytes), 0);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('a message that lies in one piece is a view of it', (t) => {
  const content = framed(Buffer.from('one'), Buffer.from('two'));
  const reader = new MessageReader(100);
  reader.push(content);
  for (const message of readAll(reader)) t.is(message.buffer, content.buffer);
});

test('only what is between start and end is read', (t) => {
  const content = Buffer.concat([Buffer.from('xx'), framed(Buffer.from('one')), Buffer.from('yy')]);
  const reader = new MessageReader(100);
  reader.push(content, 2, content.length - 2);
  t.deepEqual(readAll(reader).map(String), ['one']);
  reader.end();
});

test('what waits is not given back to the peer before it is read', (t) => {
  const reader = new MessageReader(100);
  reader.push(framed(Buffer.from('one')));
  reader.push(framed(Buffer.from('three')));
  t.is(reader.takeConsumedBytes(), 0);
  reader.next();
  t.is(reader.takeConsumedBytes(), PREFIX_BYTES + 3);
  reader.next();
  t.is(reader.takeConsumedBytes(), PREFIX_BYTES + 5);
});

test('a large message in small pieces takes its own size and a 7th, no more', (t) => {
  const message = Buffer.alloc(16 * MEGABYTE, 'tensor');
  const content = framed(message);
  const before = process.memoryUsage().arrayBuffers;
  const reader = new MessageReader(message.length);
  for (let at = 0; at < content.length; at += 16_384) {
    reader.push(content, at, Math.min(at + 16_384, content.length));
    const whole = reader.next();
    if (whole !== undefined) t.is(Buffer.compare(whole, message), 0);
    else t.true(at + 16_384 < content.length);
  }
  const taken = process.memoryUsage().arrayBuffers - before;
  t.true(taken < (message.length * 8) / 7 + MEGABYTE, `${taken} bytes were allocated`);
});

test('a length alone makes nobody allocate', (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const readers = Array.from({ length: 100 }, () => {
    const reader = new MessageReader(64 * MEGABYTE);
    reader.push(Buffer.concat([messagePrefix(64 * MEGABYTE), Buffer.from('x')]));
    t.is(reader.next(), undefined);
    return reader;
  });
  const taken = process.memoryUsage().arrayBuffers - before;
  t.true(taken < readers.length * 70 * 1024, `${taken} bytes were allocated`);
});

test('many small pieces that wait are put together, and what they lay in is let go', async (t) => {
  const content = framed(...Array.from({ length: 500 }, (_, at) => Buffer.from(`${at}`)));
  const reader = new MessageReader(100);
  const lent = [...content].map((byte) => {
    const chunk = Uint8Array.of(byte, 0, 0, 0);
    reader.push(chunk, 0, 1);
    return new WeakRef(chunk);
  });
  // What a WeakRef was made of lives on until the turn ends.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  const held = lent.filter((chunk) => chunk.deref() !== undefined).length;
  t.true(held < 100, `${held} of ${lent.length} pieces are held`);
  t.deepEqual(
    readAll(reader).map(String),
    Array.from({ length: 500 }, (_, at) => `${at}`),
  );
  reader.end();
});

test('memory of others is never written to', (t) => {
  const content = Buffer.alloc(16 * 1024);
  messagePrefix(2000).forEach((byte, at) => {
    content[2000 + at] = byte;
  });
  const reader = new MessageReader(100_000);
  reader.push(framed(Buffer.alloc(10)));
  reader.push(content, 2000, 2000 + PREFIX_BYTES + 2000);
  reader.push(framed(Buffer.from('not in there')));
  t.is(content.indexOf('not in there'), -1);
  t.deepEqual(
    readAll(reader).map((message) => message.length),
    [10, 2000, 12],
  );
});

test('a message at the limit is taken, one above is refused before it comes', (t) => {
  const reader = new MessageReader(10);
  reader.push(framed(Buffer.alloc(10)));
  t.is(reader.next()?.length, 10);
  reader.push(messagePrefix(11));
  const error = thrown(() => reader.next());
  t.is(error.code, Code.RESOURCE_EXHAUSTED);
  t.regex(error.message, /11 bytes .* 10 bytes/);
  const huge = new MessageReader(10);
  huge.push(messagePrefix(0xffff_ffff));
  t.regex(thrown(() => huge.next()).message, /4294967295 bytes/);
});

test('a flag that means nothing is INTERNAL', (t) => {
  for (const flag of [2, 0x80, 0xff]) {
    const reader = new MessageReader(10);
    reader.push(Buffer.from([flag, 0, 0, 0, 0]));
    t.is(thrown(() => reader.next()).code, Code.INTERNAL);
  }
});

test('content that ends inside a message is INTERNAL and says where', (t) => {
  const whole = framed(Buffer.from('twelve bytes'));
  for (let end = 0; end <= whole.length; end += 1) {
    const reader = new MessageReader(100);
    reader.push(whole, 0, end);
    readAll(reader);
    if (end === 0 || end === whole.length) {
      t.notThrows(() => reader.end());
      continue;
    }
    const error = thrown(() => reader.end());
    t.is(error.code, Code.INTERNAL);
    t.regex(error.message, end < PREFIX_BYTES ? /its prefix/ : new RegExp(`byte ${end - 5} of 12`));
  }
});

test('prefixes are written as they are read', (t) => {
  const target = new Uint8Array(8);
  t.is(writePrefix(target, 2, 0x01020304, true), 7);
  t.deepEqual([...target], [0, 0, 1, 1, 2, 3, 4, 0]);
  t.deepEqual([...messagePrefix(0xfffffffe)], [0, 255, 255, 255, 254]);
});

test('any bytes are messages or a StatusError', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 }), (pieces) => {
      const reader = new MessageReader(64);
      try {
        for (const piece of pieces) {
          reader.push(piece);
          for (const message of readAll(reader)) t.true(message.length <= 64);
        }
        reader.end();
      } catch (error) {
        t.true(error instanceof StatusError, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
