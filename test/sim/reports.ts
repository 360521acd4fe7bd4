// What a simulation has to say, for people and for programs.
import type { Breach } from './checks.ts';
import { type Fault, shownFault } from './faults.ts';
import type { Hunt } from './planted-hunt.ts';
import type { RunResult } from './run.ts';

interface Broken {
  readonly seed: number;
  readonly breaches: readonly Breach[];
  readonly faults: readonly Fault[];
}

/** Of many seeds. */
export class Summary {
  runs = 0;
  virtualS = 0;
  steps = 0;
  calls = { ok: 0, failed: 0, cut: 0 };
  /** How many faults of each kind there were. */
  readonly faults: Record<string, number> = {};
  readonly broken: Broken[] = [];
  tookMs = 0;
  readonly #startMs = performance.now();

  add({ seed, breaches, faults, steps, calls, virtualMs }: RunResult): void {
    this.runs += 1;
    this.virtualS += virtualMs / 1_000;
    this.steps += steps;
    this.calls.ok += calls.ok;
    this.calls.failed += calls.failed;
    this.calls.cut += calls.cut;
    for (const { kind } of faults) this.faults[kind] = (this.faults[kind] ?? 0) + 1;
    if (breaches.length > 0) this.broken.push({ seed, breaches, faults });
    this.tookMs = Math.round(performance.now() - this.#startMs);
  }
}

export function breachLines({ seed, breaches, faults }: Broken, bug?: string): readonly string[] {
  if (breaches.length === 0) return ['  no rule is broken'];
  const again = `npm run sim -- --seed ${seed}${bug === undefined ? '' : ` --bug ${bug}`} --trace`;
  return [
    `seed ${seed} breaks rules; again: ${again}`,
    ...breaches.map(({ rule, text, atMs }) => `  ${rule} at ${Math.round(atMs)} ms: ${text}`),
    ...faults.map((fault) => `    ${shownFault(fault)}`),
  ];
}

export function summaryLines(summary: Summary, maxShown: number, bug?: string): readonly string[] {
  const { runs, virtualS, calls, faults, broken, tookMs } = summary;
  const perMinute = Math.round((runs * 60_000) / Math.max(1, tookMs));
  broken.sort((a, b) => a.seed - b.seed);
  const kinds = Object.entries(faults).sort(([, a], [, b]) => b - a);
  const total = kinds.reduce((sum, [, count]) => sum + count, 0);
  const hours = Math.round(virtualS / 3_600);
  const rules = new Map<string, number>();
  for (const { breaches } of broken) {
    for (const rule of new Set(breaches.map((breach) => breach.rule))) {
      rules.set(rule, (rules.get(rule) ?? 0) + 1);
    }
  }
  return [
    ...broken.slice(0, maxShown).flatMap((one) => breachLines(one, bug)),
    `${runs} seeds in ${Math.round(tookMs / 1_000)} s (${perMinute} a minute): ${hours} hours`,
    `calls: ${calls.ok} answered, ${calls.failed} failed, ${calls.cut} cut off`,
    `${total} faults: ${kinds.map(([kind, count]) => `${kind} ${count}`).join(', ')}`,
    broken.length === 0 ? 'no rule was broken' : `${broken.length} seeds broke rules:`,
    ...[...rules].map(([rule, count]) => `  ${rule}: ${count} seeds`),
    ...(broken.length > 0 ? [`  seeds ${broken.map(({ seed }) => seed).join(' ')}`] : []),
  ];
}

export function huntTable(hunts: readonly Hunt[]): string {
  const rows = hunts.map(({ bug, what, foundBy, rule, seedsRun }) => [
    bug,
    foundBy === undefined ? 'NOT FOUND' : `seed ${foundBy}`,
    String(seedsRun),
    rule,
    what,
  ]);
  const all = [['bug', 'found by', 'seeds run', 'rule', 'what it does'], ...rows];
  const widths = [0, 1, 2, 3].map((at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  return all
    .map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
    .join('\n');
}
