// The faults by the number under which docs/OPERATING.md has them, in the order in which they run:
// those that share a cluster follow each other.
import type { Fault } from './fault.ts';
import { killedNodes } from './faults/r01-killed-nodes.ts';

export const FAULTS: readonly Fault[] = [killedNodes];
