// The contract of every registry, over a real Redis: one server, here.
import test from 'ava';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import {
  NO_REDIS,
  pause,
  type RedisServer,
  redisProgram,
  startRedis,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { openRegistry } from '../open.ts';
import { registryContract } from '../registry.contract.ts';

const log = createLog({ role: 'test', level: 'silent' });
const options = { clock: systemClock, log };

let server: RedisServer | undefined;
let count = 0;

if (redisProgram() === undefined) {
  test('the registry on one Redis server', (t) => skip(t, NO_REDIS));
} else {
  test.before(async () => {
    server = await startRedis();
  });
  test.after.always(() => server?.end());
  registryContract('redis', async () => {
    // A prefix of its own is an empty registry.
    count += 1;
    const address = `redis://127.0.0.1:${server?.port}/3?prefix=t${count}`;
    const [registry, other] = [openRegistry(address, options), openRegistry(address, options)];
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
