// One thing that is fuzzed: how its input is made, and how it is judged. A target says what was
// promised and broken in words, or throws: a crash. fast-check makes the input, remembers the seed
// and shrinks what fails.
import fc from 'fast-check';

/** In words what was promised and is not kept; undefined when all is well. */
export type Verdict = string | undefined;

/** What is run of a target: `seed` and `path` together are one input, again and again the same. */
export interface Batch {
  readonly seed: number;
  readonly runs: number;
  readonly path?: string;
}

export interface Failure {
  readonly target: string;
  readonly seed: number;
  readonly path: string;
  /** What was broken, and the shrunk input. */
  readonly report: string;
}

export interface BatchResult {
  readonly runs: number;
  readonly failure: Failure | undefined;
}

export interface FuzzTarget {
  readonly name: string;
  /** Of the time: 1 is an even share. */
  readonly share: number;
  /** In a batch: a fraction of a second's worth. */
  readonly runsPerBatch: number;
  run(batch: Batch): Promise<BatchResult>;
}

/** A single input that takes longer hangs; far more than any takes on a busy machine. */
export const ASYNC_INPUT_MS = 20_000;
/** How long a failing input is made smaller. */
const SHRINK_MS = 15_000;
const SHOWN_CHARACTERS = 6_000;

class Broken extends Error {}

function insist(verdict: Verdict): void {
  if (verdict !== undefined) throw new Broken(verdict);
}

/** A run of one number among many is told once. */
function shown(input: unknown): string {
  return fc
    .stringify(input)
    .replace(/\b(\d+)(?:,\1){9,}\b/g, (run, one) => `${one} x ${run.split(',').length}`)
    .slice(0, SHOWN_CHARACTERS);
}

function resultOf<T>(target: string, batch: Batch, details: fc.RunDetails<T>): BatchResult {
  const { failed, numRuns, seed } = details;
  if (!failed) return { runs: numRuns, failure: undefined };
  const path = details.counterexamplePath ?? batch.path ?? '';
  const { errorInstance } = details;
  const isBroken = errorInstance instanceof Broken;
  const error = errorInstance instanceof Error ? errorInstance : undefined;
  const why = isBroken ? error?.message : (error?.stack ?? String(errorInstance));
  const input = shown(details.counterexample);
  const report = `${why}\ninput: ${input}`;
  return { runs: numRuns, failure: { target, seed, path, report } };
}

interface TargetOptions<T> {
  readonly name: string;
  readonly share?: number;
  readonly runsPerBatch: number;
  readonly input: fc.Arbitrary<T>;
}

function parametersOf({ seed, runs, path }: Batch) {
  return {
    seed,
    numRuns: runs,
    ...(path !== undefined && path !== '' && { path }),
    interruptAfterTimeLimit: ASYNC_INPUT_MS + SHRINK_MS,
    markInterruptAsFailure: false,
  };
}

/** A target without sockets: each input is judged at once. */
export function pureTarget<T>(
  options: TargetOptions<T> & { judge(input: T): Verdict },
): FuzzTarget {
  const { name, share = 1, runsPerBatch, input } = options;
  const property = fc.property(input, (value) => insist(options.judge(value)));
  return {
    name,
    share,
    runsPerBatch,
    run: async (batch) => resultOf(name, batch, fc.check(property, parametersOf(batch))),
  };
}

/** A target that waits: for sockets, for the other side. */
export function waitingTarget<T>(
  options: TargetOptions<T> & { judge(input: T): Promise<Verdict> },
): FuzzTarget {
  const { name, share = 1, runsPerBatch, input } = options;
  const property = fc.asyncProperty(input, async (value) => insist(await options.judge(value)));
  return {
    name,
    share,
    runsPerBatch,
    async run(batch) {
      const parameters = { ...parametersOf(batch), timeout: ASYNC_INPUT_MS };
      return resultOf(name, batch, await fc.check(property, parameters));
    },
  };
}
