// When the router calls itself ready (ServerReady, health, /readyz). At the start: once it has read
// a leader's plan and every model that is to serve has a READY copy, or has failed to load. From
// then on it stays ready while any node lives: when a node dies its models are between copies for a
// moment, their calls wait, and a load balancer must not take all routers out for that.
import type { RouteTable } from './route-table.ts';

export class Readiness {
  #hasSettled = false;

  /** Empty: ready. Else what it waits for, for a person. */
  waitingFor(table: RouteTable): readonly string[] {
    if (!table.isComplete) return ['the first assignment of models to nodes'];
    if (!this.#hasSettled) {
      if (!table.isSettled) {
        const loading = table.index().filter(({ state }) => state === 'LOADING');
        const [first] = loading;
        return [`models that load: ${first?.model ?? ''} and ${loading.length - 1} more versions`];
      }
      this.#hasSettled = true;
    }
    const hasModels = table.size > 0;
    const hasNodes = [...table.nodes()].some(({ state }) => state === 'SERVING');
    return hasModels && !hasNodes ? ['a live node'] : [];
  }
}
