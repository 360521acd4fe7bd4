// The contract of every registry, over a real Redis: each test gets a prefix of its own, which is
// an empty registry.
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { pause } from '../../test/support/redis-server.ts';
import { registryContract } from '../registry.contract.ts';
import { parseRedisAddress } from './address.ts';
import { RedisRegistry } from './redis-registry.ts';

const options = { clock: systemClock, log: createLog({ role: 'test', level: 'silent' }) };
let count = 0;

/** What docs/decisions/0022 tells operators to give a user of the registry. */
export const RIGHTS = [
  ...['~torus:*', '&torus:*', '+@read', '+@write', '+@scripting', '+@pubsub', '+@connection'],
  ...['+time', '+info', '-flushall', '-flushdb', '-swapdb', '-script|flush'],
];
/** In a cluster, besides. */
export const CLUSTER_RIGHTS = ['+cluster|slots', '+cluster|info'];

/** For what must work however busy the machine is; the product's own limit is tested apart. */
export const PATIENT_MS = 30_000;

export function openOnRedis(address: string, callTimeoutMs = PATIENT_MS): RedisRegistry {
  return new RedisRegistry({ ...options, address: parseRedisAddress(address), callTimeoutMs });
}

/** An address with another registry in it than all others of this process. */
export function ownPrefix(address: string): string {
  count += 1;
  return `${address}?prefix=t${count}`;
}

/** @param addressOf is asked when the servers run */
export function redisContract(name: string, addressOf: () => Promise<string>): void {
  registryContract(name, async () => {
    const address = ownPrefix(await addressOf());
    const [registry, other] = [openOnRedis(address), openOnRedis(address)];
    return {
      registry,
      other,
      advance: pause,
      shortMs: 50,
      roomyMs: 1_500,
      async end() {
        await registry.close();
        await other.close();
      },
    };
  });
}
