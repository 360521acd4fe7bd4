// Figures of interleaved rounds, compared within the run: medians and their spread, and ratios
// round by round, since a machine's speed drifts and only ratios of neighbours hold.

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

/** Ours over theirs, round by round; undefined when either was not measured. */
export function ratios<Round>(
  ours: readonly Round[] | undefined,
  theirs: readonly Round[] | undefined,
  figure: (round: Round) => number,
): Spread | undefined {
  const known: number[] = [];
  ours?.forEach((round, at) => {
    const other = theirs?.[at];
    const ratio = other === undefined ? Number.NaN : figure(round) / figure(other);
    if (Number.isFinite(ratio)) known.push(ratio);
  });
  return known.length === 0 ? undefined : spread(known);
}

/** '1.25 (1.10-1.40)' */
export function spreadText(value: Spread | undefined, digits = 2): string {
  if (value === undefined || Number.isNaN(value.median)) return 'not measured';
  const [median, least, most] = [value.median, value.least, value.most].map((n) =>
    n.toFixed(digits),
  );
  return `${median} (${least}-${most})`;
}
