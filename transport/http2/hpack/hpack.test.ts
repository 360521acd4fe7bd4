// Encoder and decoder over whole conversations, and the decoder under bytes that no encoder wrote.
import test from 'ava';
import fc from 'fast-check';
import { HpackDecoder } from './decoder.ts';
import { HpackEncoder, mostBlockBytes } from './encoder.ts';
import type { HeaderField } from './header-field.ts';
import { headerField } from './header-field.ts';
import { HpackError } from './hpack-error.ts';
import { STATIC_TABLE } from './static-table.ts';

const octets = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString('latin1'));

/** Names and values that come again, so that the tables are used. */
const anyField: fc.Arbitrary<HeaderField> = fc.oneof(
  fc.constantFrom(...STATIC_TABLE),
  fc
    .tuple(fc.constantFrom('a', 'b', 'grpc-timeout', 'cookie', ':path'), fc.nat(4))
    .map(([name, value]) => headerField(name, `${value}`.repeat(40))),
  fc
    .tuple(octets(20), octets(300), fc.boolean())
    .map(([name, value, isSecret]) => headerField(name, value, isSecret)),
);

const anyEvent = fc.oneof(
  { weight: 4, arbitrary: fc.array(anyField, { maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 33, 100, 250, 500, 4096, 20_000) },
);

const NEVER = new Set(['authorization', 'cookie', 'proxy-authorization', 'set-cookie']);

test('what is encoded comes back, whatever the sizes of the table on the way', (t) => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 30 }),
      fc.constantFrom(0, 4096, 16_384),
      (events, own) => {
        const encoder = new HpackEncoder(undefined, own);
        const decoder = new HpackDecoder();
        for (const event of events) {
          if (typeof event === 'number') {
            decoder.setMaxTableBytes(event);
            encoder.setPeerMaxTableBytes(event);
            continue;
          }
          const target = new Uint8Array(mostBlockBytes(event));
          const list = decoder.decode(target, 0, encoder.encode(event, target));
          const sent = event.map((field) =>
            NEVER.has(field.name) ? { ...field, isSecret: true } : field,
          );
          t.deepEqual(list.fields, sent);
          t.true(decoder.tableBytes <= 20_000);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** The error, when it was one of ours; anything else fails the test. */
function feed(decoder: HpackDecoder, bytes: Uint8Array): HpackError | undefined {
  try {
    const list = decoder.decode(bytes);
    if (list.refusal === undefined && list.listBytes > 16 * 1024) throw new Error('too much');
    return undefined;
  } catch (thrown) {
    if (thrown instanceof HpackError) return thrown;
    throw thrown;
  }
}

test('any bytes are headers or an HpackError, and the table stays within its size', (t) => {
  const bytes = fc.uint8Array({ maxLength: 600, size: 'max' });
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 1, maxLength: 8 }), (blocks) => {
      const decoder = new HpackDecoder();
      for (const block of blocks) {
        if (feed(decoder, block) !== undefined) return;
        t.true(decoder.tableBytes <= 4096);
      }
    }),
    { numRuns: 1000 },
  );
});

test('sound blocks with a few bytes changed are headers or an HpackError', (t) => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(anyField, { minLength: 1, maxLength: 6 }), changes), {
        maxLength: 6,
      }),
      (rounds) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder();
        for (const [fields, where] of rounds) {
          const target = new Uint8Array(mostBlockBytes(fields));
          const block = target.subarray(0, encoder.encode(fields, target));
          for (const [at, value] of where) block[at % block.length] = value;
          if (feed(decoder, block) !== undefined) return;
          t.true(decoder.tableBytes <= 4096);
        }
      },
    ),
    { numRuns: 500 },
  );
});
