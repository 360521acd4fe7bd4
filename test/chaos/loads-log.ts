// What nodes log of the models that they load: in which order, and how many at a time. Pure.

export interface LoadSeen {
  readonly model: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const LOADED = '"msg":"model version loaded"';

/** Of a log of lines of JSON, in the order in which they were done. */
export function loadsIn(log: string): readonly LoadSeen[] {
  return log.split('\n').flatMap((line) => {
    if (!line.includes(LOADED)) return [];
    const { time, model, tookMs } = JSON.parse(line);
    const toMs = typeof time === 'number' ? time : Date.parse(time);
    return [{ model, fromMs: toMs - tookMs, toMs }];
  });
}

/** @param withinMs what overlaps for no longer does not count: times are whole milliseconds */
export function mostAtATime(loads: readonly LoadSeen[], withinMs = 2): number {
  let most = 0;
  for (const { fromMs } of loads) {
    const beginning = fromMs + withinMs;
    const open = loads.filter((one) => one.fromMs <= fromMs && one.toMs > beginning);
    most = Math.max(most, open.length);
  }
  return most;
}

/**
 * Of all pairs with different ranks, the share in which the one of the higher rank came first: 1 in
 * order, 0.5 at random.
 */
export function inOrder(
  loads: readonly LoadSeen[],
  rank: (model: string) => number,
): { readonly pairs: number; readonly right: number } {
  let [pairs, right] = [0, 0];
  for (const [at, first] of loads.entries()) {
    for (const later of loads.slice(at + 1)) {
      const [one, other] = [rank(first.model), rank(later.model)];
      if (one === other) continue;
      pairs += 1;
      if (one > other) right += 1;
    }
  }
  return { pairs, right };
}
