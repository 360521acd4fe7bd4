// The results of a run as a page: what docs/performance.md holds.
import { type Outcome, targetLines } from '../measure/outcome.ts';
import type { BenchPlan } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';

export interface Played {
  readonly workload: Workload;
  /** Or why it could not run. */
  readonly outcome: Outcome | { readonly failure: string };
}

export function sectionOf({ workload, outcome }: Played): readonly string[] {
  const head = [`## ${workload.title}`, '', `(\`--only ${workload.name}\`) ${workload.about}`, ''];
  if ('failure' in outcome) return [...head, `Did not run: ${outcome.failure}`, ''];
  const { tables, targets, notes } = outcome;
  return [
    ...head,
    ...tables,
    '',
    ...targetLines(targets),
    '',
    ...notes.map((note) => `- ${note}`),
    ...(notes.length > 0 ? [''] : []),
  ];
}

export function pageOf(
  plan: BenchPlan,
  machine: readonly string[],
  played: readonly Played[],
): string {
  const { rounds, secondsPerRound, checkedCalls, serverCore, clientCore } = plan;
  const lines = [
    '# Performance',
    '',
    'Machine:',
    ...machine.map((line) => `- ${line}`),
    '',
    'Written by `npm run bench`. Ratios of two servers in one run hold from machine to machine;',
    'absolute figures do not. What is known of missed targets: [bottlenecks](bottlenecks.md).',
    '',
    `Rounds: ${rounds} of ${secondsPerRound} s for each server, in turn, after warm-up. Figures`,
    'are medians (least-most) of the rounds; ratios are taken round by round, and a target is',
    `judged by their median. ${checkedCalls} calls whose status and answer are checked precede`,
    "each round; in the round h2load is the client, and the server's count of OK answers must",
    'equal its count. Where a loop is open, our own generator is the client.',
    `Servers run on core ${serverCore}, clients on core ${clientCore}. CPU a call`,
    "is of the server's process, all threads, from /proc/PID/stat: where the calls/s of a server",
    'times that are well below a second, the client is what limits it. Our servers run with the',
    'settings of V8 and glibc that `torus up` gives itself, the others with their defaults.',
    '',
    ...played.flatMap(sectionOf),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}
