// Changes to recorded bytes, and cuts of bytes into the chunks that a socket might give.
import fc from 'fast-check';

const ODD_BYTES = [0, 1, 0x7f, 0x80, 0xff] as const;

export type ByteChange =
  | { readonly kind: 'flip' | 'odd'; readonly at: number; readonly bit: number }
  | { readonly kind: 'delete' | 'double'; readonly at: number; readonly length: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'move'; readonly at: number; readonly to: number; readonly length: number };

const lengths = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(9, 13, 17, 100, 5_000));

export const byteChanges: fc.Arbitrary<ByteChange> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('flip' as const, 'odd' as const),
    at: fc.nat(),
    bit: fc.integer({ min: 0, max: 7 }),
  }),
  fc.record({
    kind: fc.constantFrom('delete' as const, 'double' as const),
    at: fc.nat(),
    length: lengths,
  }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  }),
  fc.record({ kind: fc.constant('move' as const), at: fc.nat(), to: fc.nat(), length: lengths }),
);

/** `bytes` with the change made; a position is taken modulo the length. */
export function changed(bytes: Buffer, change: ByteChange): Buffer {
  const at = change.at % (bytes.length + 1);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (change.kind) {
    case 'flip':
    case 'odd': {
      const copy = Buffer.from(bytes);
      const byte = copy[at];
      if (byte === undefined) return copy;
      const odd = ODD_BYTES[change.bit % ODD_BYTES.length] ?? 0;
      copy[at] = change.kind === 'flip' ? byte ^ (1 << change.bit) : odd;
      return copy;
    }
    case 'delete':
      return Buffer.concat([before, after.subarray(change.length)]);
    case 'double':
      return Buffer.concat([before, after.subarray(0, change.length), after]);
    case 'insert':
      return Buffer.concat([before, change.bytes, after]);
    case 'move': {
      const moved = after.subarray(0, change.length);
      const rest = Buffer.concat([before, after.subarray(change.length)]);
      const to = change.to % (rest.length + 1);
      return Buffer.concat([rest.subarray(0, to), moved, rest.subarray(to)]);
    }
  }
}

/** Sizes of chunks, used in turn: single bytes, parts of frames, many frames at once. */
export const chunkSizes: fc.Arbitrary<readonly number[]> = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 40_000 })),
  { minLength: 1, maxLength: 8 },
);

/** Copies, so that what a reader keeps of one is seen when another is written over. */
export function chunksOf(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const to = at + Math.max(1, sizes[i % sizes.length] ?? 1);
    chunks.push(Uint8Array.prototype.slice.call(bytes, at, to));
    at = to;
  }
  return chunks;
}
