// A test that can't run on this machine says so with its reason; npm test lists the reasons.
import type { ExecutionContext } from 'ava';

/** Ends a test as passed but printed as skipped: `return skip(t, 'no Go toolchain')`. */
export function skip(t: ExecutionContext, reason: string): void {
  t.log(`skipped: ${t.title}: ${reason}`);
  t.pass();
}
