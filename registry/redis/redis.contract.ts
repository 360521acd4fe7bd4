// The contract of every registry, over a real Redis: each test gets a prefix of its own, which is
// an empty registry.
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { pause } from '../../test/support/redis-server.ts';
import { openRegistry } from '../open.ts';
import { registryContract } from '../registry.contract.ts';
import type { Registry } from '../registry.ts';

const options = { clock: systemClock, log: createLog({ role: 'test', level: 'silent' }) };
let count = 0;

export function openOnRedis(address: string): Registry {
  return openRegistry(address, options);
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
