// The table at the end of `npm run chaos`, and the same as JSON. Pure.
import type { Criterion, Form } from './fault.ts';

export interface Verdict {
  readonly id: string;
  readonly title: string;
  readonly form: Form;
  readonly deed: string;
  readonly criteria: readonly Criterion[];
  /** Why it could not be judged. */
  readonly error: string | undefined;
  /** What this machine lacks for it; '' where nothing is amiss. */
  readonly skipped: string;
  readonly seconds: number;
}

/** Skipped ones count neither way. */
export function isFailed(verdict: Verdict): boolean {
  return verdict.skipped === '' && !isPassed(verdict);
}

export function isPassed({ criteria, error }: Verdict): boolean {
  return error === undefined && criteria.length > 0 && criteria.every(({ isKept }) => isKept);
}

export function verdictLines(verdict: Verdict): readonly string[] {
  const { id, title, form, deed, criteria, error, skipped, seconds } = verdict;
  const word = isPassed(verdict) ? 'pass' : isFailed(verdict) ? 'FAIL' : 'skip';
  const head = `${id.padEnd(4)} ${word}  ${title} (${form}, ${seconds.toFixed(0)} s)`;
  const wide = Math.max(0, ...criteria.map(({ promise }) => promise.length));
  return [
    head,
    ...(deed === '' ? [] : [`     ${deed}`]),
    ...criteria.map(
      ({ promise, measured, isKept }) =>
        `     ${isKept ? 'pass' : 'FAIL'}  ${promise.padEnd(wide)}  ${measured}`,
    ),
    ...(skipped === '' ? [] : [`     skip  ${skipped}`]),
    ...(error === undefined ? [] : [`     FAIL  could not be judged: ${error}`]),
  ];
}

/** All of them, and a closing line. */
export function table(verdicts: readonly Verdict[]): string {
  const passed = verdicts.filter(isPassed).length;
  const failed = verdicts.filter(isFailed).length;
  const skipped = verdicts.length - passed - failed;
  const minutes = verdicts.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  return [
    ...verdicts.flatMap((verdict) => [...verdictLines(verdict), '']),
    `${passed} passed, ${failed} failed, ${skipped} skipped in ${minutes.toFixed(1)} minutes`,
  ].join('\n');
}
