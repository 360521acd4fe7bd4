import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { Code, StatusError } from '../common/status.ts';
import { MemoryRegistry } from './memory.ts';
import { openRegistry } from './open.ts';
import { RedisRegistry } from './redis/redis-registry.ts';

const options = { clock: new VirtualClock(), log: createLog({ role: 'test', level: 'silent' }) };

test('an address says which registry it is; none waits for a connection', async (t) => {
  const memory = openRegistry('memory', options);
  t.true(memory instanceof MemoryRegistry);
  for (const address of [
    'redis://127.0.0.1:1/0',
    'redis+sentinel://127.0.0.1:1/main',
    'redis+cluster://127.0.0.1:1',
  ]) {
    const registry = openRegistry(address, options);
    t.true(registry instanceof RedisRegistry);
    await registry.close();
  }
  await memory.close();
});

test('what is no address is refused, and not repeated', (t) => {
  const expectation = { instanceOf: StatusError, code: Code.INVALID_ARGUMENT };
  for (const address of ['', 'mem', 'http://secret@host', 'redisx://secret']) {
    const error = t.throws(() => openRegistry(address, options), expectation);
    t.regex(error?.message ?? '', /redis\+sentinel:\/\//);
    t.notRegex(error?.message ?? '', /secret/);
  }
  const message = /ca file can not be read.*nowhere/;
  t.throws(() => openRegistry('rediss://a?ca=nowhere', options), { ...expectation, message });
});
