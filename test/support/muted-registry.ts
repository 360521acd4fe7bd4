// A registry whose hints are all lost, as to a watcher who is not connected; who can be told 'all',
// as when he is again.
import type { Registry, RegistryChange } from '../../registry/registry.ts';

export interface MutedRegistry {
  readonly registry: Registry;
  tellAll(): void;
}

export function mutedRegistry(over: Registry): MutedRegistry {
  const listeners = new Set<(change: RegistryChange) => void>();
  const watch: Registry['watch'] = (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  const registry = new Proxy<Registry>(over, {
    get(target, name: keyof Registry) {
      return name === 'watch' ? watch : target[name].bind(target);
    },
  });
  return {
    registry,
    tellAll: () => {
      for (const listener of listeners) listener({ kind: 'all' });
    },
  };
}
