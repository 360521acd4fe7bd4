// A router's table and its following of a registry, in a process of their own, so that their memory
// is seen alone. Argument: the registry's address. Run with --expose-gc.
import { systemClock as clock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { openRegistry } from '../../registry/open.ts';
import { RouteTable } from '../../router/route-table.ts';
import { startTableSync } from '../../router/table-sync.ts';
import { bytesInUse } from './table-bytes.ts';

export interface RouterState {
  readonly nodes: number;
  readonly models: number;
  /** Every model has a READY copy, or can't be served. */
  readonly isSettled: boolean;
}

export interface RouterMemory {
  readonly heapBytes: number;
  readonly externalBytes: number;
}

/** What it tells: its state after each change, its memory when asked. */
export interface RouterMessage {
  readonly state?: RouterState;
  readonly memory?: RouterMemory;
}

const log = createLog({ role: 'router', level: 'warn' });
const registry = openRegistry(process.argv[2] ?? '', { clock, log });
const table = new RouteTable();
await registry.shardRevisions();
const before = bytesInUse();
const tell = (message: RouterMessage): void => void process.send?.(message);
const sync = startTableSync({
  ...{ registry, table, clock, log },
  onSynced() {
    const nodes = [...table.nodes()].length;
    tell({ state: { nodes, models: table.size, isSettled: table.isSettled } });
  },
});
process.on('message', (message) => {
  if (message === 'memory') {
    const { heap, external } = bytesInUse();
    const [heapBytes, externalBytes] = [heap - before.heap, external - before.external];
    tell({ memory: { heapBytes, externalBytes } });
  }
});
process.once('disconnect', () => {
  sync.stop();
  void registry.close();
});
