// The gRPC status that a block of trailers says. Servers write the same few blocks again and
// again: one that was seen before is known by its bytes. Only for connections without a dynamic
// table (RFC 7541, 4.2): there the same bytes always mean the same.
import { HpackDecoder } from '../transport/http2/hpack/decoder.ts';

const CODE_UNKNOWN = 2;
/** Those of errors carry messages that differ: they are not all kept. */
const MOST_BLOCKS = 8;

interface KnownBlock {
  readonly bytes: Uint8Array;
  readonly code: number;
}

export class StatusBlocks {
  readonly #decoder = new HpackDecoder();
  readonly #known: KnownBlock[] = [];

  /** Of bytes[start, end); UNKNOWN where it says none. @throws HpackError */
  statusOf(bytes: Uint8Array, start: number, end: number): number {
    for (let at = 0; at < this.#known.length; at += 1) {
      const known = this.#known[at];
      if (known !== undefined && isSame(known.bytes, bytes, start, end)) return known.code;
    }
    const { fields } = this.#decoder.decode(bytes, start, end);
    const code = Number(fields.find(({ name }) => name === 'grpc-status')?.value ?? CODE_UNKNOWN);
    if (this.#known.length < MOST_BLOCKS) {
      this.#known.push({ bytes: bytes.slice(start, end), code });
    }
    return code;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const { length } = known;
  if (end - start !== length) return false;
  for (let at = 0; at < length; at += 1) if (known[at] !== bytes[start + at]) return false;
  return true;
}
