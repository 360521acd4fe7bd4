// Which of several nodes takes a call: the less loaded of two picked at random, which keeps load
// even without herding on the one that looks best. Calls of a sequence stay together.

/** What is known of a node's load here: calls sent and not yet answered. */
export interface Loaded {
  readonly id: string;
  readonly outstanding: number;
}

/**
 * The less loaded of two different candidates picked at random; undefined when there are none.
 * @param random in [0, 1)
 */
export function lessLoadedOfTwo<T extends Loaded>(
  candidates: readonly T[],
  random: () => number,
): T | undefined {
  const [one, other] = candidates;
  if (one === undefined || other === undefined) return one;
  if (candidates.length === 2 && one.outstanding !== other.outstanding) {
    return one.outstanding < other.outstanding ? one : other;
  }
  const first = Math.floor(random() * candidates.length);
  const step = 1 + Math.floor(random() * (candidates.length - 1));
  const a = candidates[first];
  const b = candidates[(first + step) % candidates.length];
  return a !== undefined && b !== undefined && b.outstanding < a.outstanding ? b : a;
}

/**
 * The same candidate for the same key as long as it is there, by rendezvous hashing: when a
 * candidate comes or goes, only the keys that are its own move.
 */
export function stickyChoice<T extends Loaded>(
  candidates: readonly T[],
  key: string,
): T | undefined {
  let best: T | undefined;
  let bestScore = -1;
  for (const candidate of candidates) {
    const score = hash(`${candidate.id}\u0000${key}`);
    if (score > bestScore || (score === bestScore && candidate.id < (best?.id ?? ''))) {
      best = candidate;
      bestScore = score;
    }
  }
  return best;
}

/** 32-bit FNV-1a with murmur3's finish, which spreads keys that differ little. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
