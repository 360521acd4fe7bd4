// All that is fuzzed.
import { connectionTargets } from './connection-targets.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { hpackTargets } from './hpack-targets.ts';
import { nodeClientTargets } from './node-client-target.ts';
import { pairTarget } from './pair-target.ts';

export const targets: readonly FuzzTarget[] = [
  ...hpackTargets,
  ...connectionTargets,
  pairTarget,
  ...nodeClientTargets,
];
