// The faults by the number under which docs/OPERATING.md has them, in the order in which they run:
// those that share a cluster follow each other.
import type { Fault } from './fault.ts';
import { killedNodes } from './faults/r01-killed-nodes.ts';
import { stoppedNode } from './faults/r02-stopped-node.ts';
import { refusingNodes } from './faults/r03-refusing-nodes.ts';

export const FAULTS: readonly Fault[] = [killedNodes, stoppedNode, refusingNodes];
