// A registry by its address, as commands take it: 'memory', or where Redis is
// (redis/address.ts has the forms).
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { invalidArgument } from '../common/status.ts';
import { MemoryRegistry } from './memory.ts';
import { isRedisAddress, parseRedisAddress } from './redis/address.ts';
import { RedisRegistry } from './redis/redis-registry.ts';
import type { Registry } from './registry.ts';

export interface OpenRegistryOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Does not wait for a connection: a role starts with what it last knew when Redis is away.
 * @throws INVALID_ARGUMENT for an address that can't be read; secrets in it are not repeated
 */
export function openRegistry(address: string, { clock, log }: OpenRegistryOptions): Registry {
  if (address === 'memory') return new MemoryRegistry(clock);
  if (isRedisAddress(address)) {
    return new RedisRegistry({ address: parseRedisAddress(address), clock, log });
  }
  throw invalidArgument(
    "the address of the registry can not be read: 'memory' or one that begins with redis://, " +
      'redis+sentinel:// or redis+cluster:// (rediss for TLS) is right',
  );
}
