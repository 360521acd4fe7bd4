// Results of interleaved rounds, compared within the run: medians and their spread, and ratios
// round by round, since a machine's speed drifts and only ratios of neighbours hold.

export interface Round {
  readonly okPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Processor time of the server per call; undefined where it can't be read. */
  readonly cpuUsPerCall: number | undefined;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** @param values at least one. The median of an even number is the lower of the middle two. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median: sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN,
    least: sorted[0] ?? Number.NaN,
    most: sorted.at(-1) ?? Number.NaN,
  };
}

/** Ours over theirs, round by round. */
export function ratios(
  ours: readonly Round[],
  theirs: readonly Round[],
  figure: (round: Round) => number | undefined,
): Spread | undefined {
  const pairs = ours.map((round, at) => {
    const other = theirs[at];
    const [a, b] = [figure(round), other === undefined ? undefined : figure(other)];
    return a === undefined || b === undefined || b === 0 ? undefined : a / b;
  });
  const known = pairs.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : spread(known);
}

/** '1.25 (1.10-1.40)' */
export function spreadText(value: Spread | undefined, digits = 2): string {
  if (value === undefined) return 'not measured';
  const [median, least, most] = [value.median, value.least, value.most].map((n) =>
    n.toFixed(digits),
  );
  return `${median} (${least}-${most})`;
}
