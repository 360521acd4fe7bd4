// What must hold, whatever happens. Each breach is told with the rule that it breaks; a run with
// none is a good one. Those who see something call in here: clients with answers, engines with
// runs, the registry's server with what leaders write, routers with what they take.
import type { Trace } from './trace.ts';

export const RULES = [
  'answered_once',
  'answered_in_time',
  'no_needless_error',
  'right_content',
  'known_version',
  'run_once',
  'newest_obeyed',
  'registry_goes_on',
  'one_leader_an_epoch',
  'leads_with_lease',
  'bounded_load',
  'ready_is_loaded',
  'never_without_copy',
  'well_node_kept',
  'converges',
  'no_accident',
] as const;

export type Rule = (typeof RULES)[number];

export interface Breach {
  readonly rule: Rule;
  readonly text: string;
  readonly atMs: number;
}

/** One fault breaks much: the first ones tell. */
const MAX_BREACHES = 20;

export class Checks {
  readonly breaches: Breach[] = [];
  readonly #nowMs: () => number;
  readonly #trace: Trace;

  constructor(nowMs: () => number, trace: Trace) {
    this.#nowMs = nowMs;
    this.#trace = trace;
  }

  breach(rule: Rule, text: string): void {
    this.#trace.note('CHECK', rule, text);
    if (this.breaches.length >= MAX_BREACHES) return;
    this.breaches.push({ rule, text, atMs: this.#nowMs() });
  }
}
