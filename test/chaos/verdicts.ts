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
  readonly seconds: number;
}

export function isPassed({ criteria, error }: Verdict): boolean {
  return error === undefined && criteria.length > 0 && criteria.every(({ isKept }) => isKept);
}

export function verdictLines(verdict: Verdict): readonly string[] {
  const { id, title, form, deed, criteria, error, seconds } = verdict;
  const word = isPassed(verdict) ? 'pass' : 'FAIL';
  const head = `${id.padEnd(4)} ${word}  ${title} (${form}, ${seconds.toFixed(0)} s)`;
  const wide = Math.max(0, ...criteria.map(({ promise }) => promise.length));
  return [
    head,
    ...(deed === '' ? [] : [`     ${deed}`]),
    ...criteria.map(
      ({ promise, measured, isKept }) =>
        `     ${isKept ? 'pass' : 'FAIL'}  ${promise.padEnd(wide)}  ${measured}`,
    ),
    ...(error === undefined ? [] : [`     FAIL  could not be judged: ${error}`]),
  ];
}

/** All of them, and a closing line. */
export function table(verdicts: readonly Verdict[]): string {
  const passed = verdicts.filter(isPassed).length;
  const minutes = verdicts.reduce((sum, { seconds }) => sum + seconds, 0) / 60;
  return [
    ...verdicts.flatMap((verdict) => [...verdictLines(verdict), '']),
    `${passed} passed, ${verdicts.length - passed} failed in ${minutes.toFixed(1)} minutes`,
  ].join('\n');
}
