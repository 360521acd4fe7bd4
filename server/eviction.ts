// Which version leaves a cache that has to make room: the longest unused first, one in use never,
// and none at all when all of them together would not be enough.

export interface Resident {
  readonly sizeBytes: number;
  /** Who relies on it being there. */
  readonly users: number;
  /** Grows with each use. */
  readonly lastUsed: number;
}

/** @returns the first to leave so that `bytes` are freed in the end; undefined: nothing helps */
export function nextToLeave(
  residents: ReadonlyMap<string, Resident>,
  bytes: number,
): string | undefined {
  const unused = [...residents].filter(([, { users }]) => users === 0);
  const evictableBytes = unused.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0);
  if (evictableBytes < bytes) return undefined;
  return unused.sort(([, a], [, b]) => a.lastUsed - b.lastUsed)[0]?.[0];
}
