// The faults by the number under which docs/OPERATING.md has them, in the order in which they run:
// those that share a cluster follow each other.
import type { Fault } from './fault.ts';
import { killedNodes } from './faults/r01-killed-nodes.ts';
import { stoppedNode } from './faults/r02-stopped-node.ts';
import { refusingNodes } from './faults/r03-refusing-nodes.ts';
import { overload } from './faults/r04-overload.ts';
import { rollingRestart } from './faults/r05-rolling-restart.ts';
import { versionSwaps } from './faults/r06-version-swaps.ts';
import { lostRedis } from './faults/r09-lost-redis.ts';
import { sentinelFailOver } from './faults/r10-sentinel-fail-over.ts';
import { cutLeader } from './faults/r11-cut-leader.ts';
import { fullDisk } from './faults/r12-full-disk.ts';
import { bitFlips } from './faults/r13-bit-flips.ts';
import { badNetwork } from './faults/r15-bad-network.ts';
import { longRun } from './faults/r17-long-run.ts';
import { poisonModel } from './faults/r18-poison-model.ts';
import { restartWithoutStores } from './faults/r19-restart-without-stores.ts';
import { coldStart } from './faults/r20-cold-start.ts';

export const FAULTS: readonly Fault[] = [
  killedNodes,
  stoppedNode,
  refusingNodes,
  overload,
  rollingRestart,
  versionSwaps,
  lostRedis,
  sentinelFailOver,
  cutLeader,
  fullDisk,
  bitFlips,
  badNetwork,
  longRun,
  poisonModel,
  restartWithoutStores,
  coldStart,
];
