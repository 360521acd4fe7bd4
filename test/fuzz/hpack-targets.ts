// HPACK: a decoder that remembers blocks must read what a plain one reads, and what our encoder
// writes must come back, whatever the tables' sizes do meanwhile.
import fc from 'fast-check';
import { HpackDecoder } from '../../transport/http2/hpack/decoder.ts';
import { HpackEncoder, mostBlockBytes } from '../../transport/http2/hpack/encoder.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import { DEFAULT_HEADER_LIMITS } from '../../transport/http2/hpack/header-list.ts';
import { HpackError } from '../../transport/http2/hpack/hpack-error.ts';
import { allocatedBytes } from './allocations.ts';
import { pureTarget, type Verdict } from './fuzz-target.ts';
import { headerBlocks, plainNames, plainValues } from './header-blocks.ts';
import { type Field, ReferenceHpack, WrongBlock } from './reference-hpack.ts';

const pairs = (fields: readonly { name: string; value: string }[]): Field[] =>
  fields.map(({ name, value }) => [name, value]);

const isSame = (a: readonly Field[], b: readonly Field[]): boolean =>
  JSON.stringify(a) === JSON.stringify(b);

/** The fields; or the error's code, or 'refused' when a limit was crossed. */
function ours(decoder: HpackDecoder, block: Uint8Array): Field[] | string {
  try {
    const list = decoder.decode(block);
    return list.refusal === undefined ? pairs(list.fields) : 'refused';
  } catch (thrown) {
    if (thrown instanceof HpackError) return thrown.code;
    throw thrown;
  }
}

function plain(reference: ReferenceHpack, block: Uint8Array): Field[] | undefined {
  try {
    return reference.decode(block);
  } catch (thrown) {
    if (thrown instanceof WrongBlock) return undefined;
    throw thrown;
  }
}

/** Scratch for a literal, and text that is kept: bounded by the limits on a list. */
const DECODER_BYTES = DEFAULT_HEADER_LIMITS.maxWorkBytes * 2;

function judgeBlocks(blocks: readonly Uint8Array[]): Verdict {
  const decoder = new HpackDecoder();
  const reference = new ReferenceHpack();
  for (const [at, block] of blocks.entries()) {
    const wanted = plain(reference, block);
    let got: Field[] | string = '';
    const bytes = allocatedBytes(() => {
      got = ours(decoder, block);
    });
    if (bytes > DECODER_BYTES) return `block ${at} of ${block.length} bytes allocates ${bytes}`;
    const listBytes = (wanted ?? []).reduce((sum, [a, b]) => sum + a.length + b.length + 32, 0);
    if (got === 'ENHANCE_YOUR_CALM' && listBytes > DEFAULT_HEADER_LIMITS.maxWorkBytes) return;
    if (wanted === undefined)
      return typeof got === 'string' && got !== 'refused'
        ? undefined
        : `block ${at} is wrong, and was read as ${JSON.stringify(got)}`;
    if (typeof got === 'string' && got !== 'refused') return `block ${at} is right: ${got}`;
    if (got === 'refused') {
      const isOver = listBytes > DEFAULT_HEADER_LIMITS.maxListBytes;
      const isLong = wanted.some((field) =>
        field.some((text) => text.length > DEFAULT_HEADER_LIMITS.maxStringBytes),
      );
      if (!isOver && !isLong && wanted.length <= DEFAULT_HEADER_LIMITS.maxFields) {
        return `block ${at} is within the limits, and was refused`;
      }
    } else if (!isSame(got, wanted)) {
      return `block ${at} says ${JSON.stringify(wanted)}, was read as ${JSON.stringify(got)}`;
    }
    if (decoder.tableBytes !== reference.tableBytes) return `tables differ behind block ${at}`;
  }
  return undefined;
}

/** Blocks come again, as those of a client do. */
const blockLists = fc
  .tuple(
    fc.array(headerBlocks, { minLength: 1, maxLength: 6 }),
    fc.array(fc.nat({ max: 5 }), { maxLength: 12 }),
  )
  .map(([blocks, order]) => [
    ...blocks,
    ...order.map((at) => blocks[at % blocks.length] ?? Buffer.alloc(0)),
  ]);

type Step =
  | { readonly fields: readonly (readonly [string, string, boolean])[]; readonly times: number }
  | { readonly tableBytes: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        fields: fc.array(fc.tuple(plainNames, plainValues, fc.boolean()), { maxLength: 8 }),
        times: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ tableBytes: fc.constantFrom(0, 40, 100, 1_000, 4_096) }),
    },
  ),
  { maxLength: 20 },
);

function judgeRoundTrip(script: readonly Step[]): Verdict {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  const reference = new ReferenceHpack();
  for (const step of script) {
    if ('tableBytes' in step) {
      encoder.setPeerMaxTableBytes(step.tableBytes);
      decoder.setMaxTableBytes(step.tableBytes);
      continue;
    }
    const fields = step.fields.map(([name, value, isSecret]) => headerField(name, value, isSecret));
    for (let i = 0; i < step.times; i++) {
      const target = Buffer.alloc(mostBlockBytes(fields));
      const end = i === 0 ? encoder.encode(fields, target) : encoder.encodeConstant(fields, target);
      const block = Buffer.from(target.subarray(0, end));
      const got = ours(decoder, block);
      const wanted = pairs(fields);
      if (typeof got === 'string' || !isSame(got, wanted)) {
        return `${JSON.stringify(wanted)} came back as ${JSON.stringify(got)}`;
      }
      if (!isSame(plain(reference, block) ?? [], wanted))
        return 'another decoder reads other fields';
    }
  }
  return undefined;
}

export const hpackTargets = [
  pureTarget({
    name: 'hpack-blocks',
    runsPerBatch: 300,
    input: blockLists,
    judge: judgeBlocks,
  }),
  pureTarget({
    name: 'hpack-round-trip',
    share: 0.5,
    runsPerBatch: 300,
    input: steps,
    judge: judgeRoundTrip,
  }),
];
