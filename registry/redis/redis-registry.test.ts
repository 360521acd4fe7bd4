// The contract over one server.
import test from 'ava';
import {
  NO_REDIS,
  type RedisServer,
  redisProgram,
  startRedis,
} from '../../test/support/redis-server.ts';
import { skip } from '../../test/support/skip.ts';
import { redisContract } from './redis.contract.ts';

let server: RedisServer | undefined;

if (redisProgram() === undefined) {
  test('the registry on one Redis server', (t) => skip(t, NO_REDIS));
} else {
  test.before(async () => {
    server = await startRedis();
  });
  test.after.always(() => server?.end());
  redisContract('redis', async () => `redis://127.0.0.1:${server?.port}/3`);
}
