// The Huffman code of RFC 7541, appendix B. The code is canonical, so the lengths say it all: codes
// of one length follow each other in the order of their symbols. Decoding is a state machine that
// takes a byte a step: 257 states (a node of the tree, or failed) by 256 bytes, built at load.

/** Bits of the code of each symbol, 0 to 255 and EOS (RFC 7541, appendix B). */
const CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const EOS = 256;

/** The shortest code has 5 bits: so many bytes come out of one at most. */
export const MAX_EXPANSION = 8 / 5;

/** Padding is at most 7 ones (RFC 7541, 5.2): states 0 to 7 are the nodes of that path. */
const PADDING_STATES = 8;
const FAILED = 256;

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(CODE_BITS.length);
  const bitsOf = (symbol: number): number => CODE_BITS[symbol] ?? 0;
  const order = [...codes.keys()].sort((a, b) => bitsOf(a) - bitsOf(b) || a - b);
  let code = 0;
  let bits = 0;
  for (const symbol of order) {
    code <<= bitsOf(symbol) - bits;
    bits = bitsOf(symbol);
    codes[symbol] = code;
    code += 1;
  }
  return codes;
}

const CODES = canonicalCodes();
const BITS = Uint8Array.from(CODE_BITS);

/** A child of a node: another node (0 and up), or the leaf of a symbol (-1 - symbol). */
type Child = number | undefined;

function codeTree(): readonly (readonly [Child, Child])[] {
  const nodes: [Child, Child][] = [];
  for (let depth = 0; depth < PADDING_STATES; depth += 1) {
    nodes.push([undefined, depth + 1 < PADDING_STATES ? depth + 1 : undefined]);
  }
  CODE_BITS.forEach((bits, symbol) => {
    let node = nodes[0];
    for (let bit = bits - 1; bit >= 0 && node !== undefined; bit -= 1) {
      const side = (((CODES[symbol] ?? 0) >>> bit) & 1) as 0 | 1;
      if (bit === 0) node[side] = -1 - symbol;
      else if (node[side] === undefined) node[side] = nodes.push([undefined, undefined]) - 1;
      node = nodes[node[side] ?? 0];
    }
  });
  return nodes;
}

// A step: next state << 18 | symbols that came out (0 to 2) << 16 | second symbol << 8 | first.
const STATE_SHIFT = 18;
const COUNT_SHIFT = 16;

/** Steps of 4 bits, which give one symbol at most. */
function nibbleSteps(): Uint32Array {
  const tree = codeTree();
  const steps = new Uint32Array((FAILED + 1) * 16).fill(FAILED << STATE_SHIFT);
  for (let at = 0; at < FAILED * 16; at += 1) {
    let state = at >>> 4;
    let symbols = 0;
    for (let bit = 3; bit >= 0 && state !== FAILED; bit -= 1) {
      const child = tree[state]?.[((at >>> bit) & 1) as 0 | 1] ?? -1 - EOS;
      if (child >= 0) state = child;
      else if (child === -1 - EOS) state = FAILED;
      else {
        symbols = (1 << COUNT_SHIFT) | (-1 - child);
        state = 0;
      }
    }
    steps[at] = (state << STATE_SHIFT) | symbols;
  }
  return steps;
}

function byteSteps(): Uint32Array {
  const nibbles = nibbleSteps();
  const steps = new Uint32Array((FAILED + 1) * 256);
  for (let at = 0; at < steps.length; at += 1) {
    const high = nibbles[at >>> 4] ?? 0;
    const low = nibbles[((high >>> STATE_SHIFT) << 4) | (at & 15)] ?? 0;
    const fromHigh = (high >>> COUNT_SHIFT) & 1;
    const fromLow = (low >>> COUNT_SHIFT) & 1;
    const symbols = fromHigh === 0 ? low & 0xff : (high & 0xff) | ((low & 0xff) << 8);
    const count = fromHigh + fromLow;
    steps[at] = ((low >>> STATE_SHIFT) << STATE_SHIFT) | (count << COUNT_SHIFT) | symbols;
  }
  return steps;
}

const STEPS = byteSteps();

/**
 * Decodes bytes[start, end) into `target`, which has room for MAX_EXPANSION times as many bytes
 * and one more. Returns how many came out, or -1 when it is no Huffman code (EOS inside, padding
 * of more than 7 bits or not all ones: RFC 7541, 5.2).
 */
export function huffmanDecode(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let step = 0;
  let count = 0;
  for (let at = start; at < end; at += 1) {
    step = STEPS[((step >>> STATE_SHIFT) << 8) | (bytes[at] ?? 0)] ?? 0;
    target[count] = step;
    target[count + 1] = step >>> 8;
    count += (step >>> COUNT_SHIFT) & 3;
  }
  return step >>> STATE_SHIFT < PADDING_STATES ? count : -1;
}

/** How many bytes huffmanDecode would give, or -1; stores nothing. */
export function huffmanDecodedBytes(bytes: Uint8Array, start: number, end: number): number {
  let step = 0;
  let count = 0;
  for (let at = start; at < end; at += 1) {
    step = STEPS[((step >>> STATE_SHIFT) << 8) | (bytes[at] ?? 0)] ?? 0;
    count += (step >>> COUNT_SHIFT) & 3;
  }
  return step >>> STATE_SHIFT < PADDING_STATES ? count : -1;
}

/** Bytes that huffmanEncode takes for `text`, or -1 when a character is above 255. */
export function huffmanEncodedBytes(text: string): number {
  let bits = 0;
  let seen = 0;
  for (let at = 0; at < text.length; at += 1) {
    const symbol = text.charCodeAt(at);
    seen |= symbol;
    bits += BITS[symbol] ?? 0;
  }
  return seen > 0xff ? -1 : (bits + 7) >>> 3;
}

/**
 * Writes the code of `text` (characters 0 to 255), padded with ones. Returns the offset behind it;
 * `target` has huffmanEncodedBytes(text) of room.
 */
export function huffmanEncode(text: string, target: Uint8Array, at: number): number {
  let next = at;
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index += 1) {
    const symbol = text.charCodeAt(index);
    let code = CODES[symbol] ?? 0;
    let bits = BITS[symbol] ?? 0;
    if (bits > 16) {
      // In two parts, so that less than 8 pending bits and these fit 32.
      pending = (pending << (bits - 16)) | (code >>> 16);
      pendingBits += bits - 16;
      code &= 0xffff;
      bits = 16;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        target[next] = pending >>> pendingBits;
        next += 1;
      }
    }
    pending = (pending << bits) | code;
    pendingBits += bits;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      target[next] = pending >>> pendingBits;
      next += 1;
    }
  }
  if (pendingBits === 0) return next;
  target[next] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return next + 1;
}
