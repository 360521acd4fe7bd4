// What a workload of the bench came to: a table of what was measured, and each target with its
// figure. A target whose rival is missing is neither met nor missed.
import { type Spread, spreadText } from '../comparison.ts';

export interface Target {
  readonly text: string;
  /** As shown: a median and its spread, or why there is none. */
  readonly figure: string;
  readonly value: Spread | undefined;
  /** Undefined: not measured. */
  readonly isMet: boolean | undefined;
}

export interface Outcome {
  /** Lines of Markdown tables. */
  readonly tables: readonly string[];
  readonly targets: readonly Target[];
  /** What a reader has to know besides: rivals that are missing, what ran on what. */
  readonly notes: readonly string[];
}

export interface Bound {
  readonly text: string;
  readonly value: Spread | undefined;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly digits?: number;
}

/** Judged by the median of the rounds. */
export function target({ text, value, atLeast, atMost, digits = 2 }: Bound): Target {
  const figure = spreadText(value, digits);
  const median = value?.median ?? Number.NaN;
  if (Number.isNaN(median)) return { text, figure, value, isMet: undefined };
  const isMet =
    median >= (atLeast ?? Number.NEGATIVE_INFINITY) &&
    median <= (atMost ?? Number.POSITIVE_INFINITY);
  return { text, figure, value, isMet };
}

export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)];
}

export function targetLines(targets: readonly Target[]): string[] {
  const word = (isMet: boolean | undefined): string =>
    isMet === undefined ? 'not measured' : isMet ? 'met' : 'missed';
  return tableOf(
    ['target', 'figure', ''],
    targets.map(({ text, figure, isMet }) => [text, figure, word(isMet)]),
  );
}
