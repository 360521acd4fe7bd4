import test from 'ava';
import { createLog } from '../common/log.ts';
import { HealthDefinition } from '../proto/gen/grpc/health/v1/health.ts';
import type { Backend } from './backend.ts';
import { invokeUnary } from './invoke.ts';
import { LateBackend, MAX_EARLY_CALLS, pathsOf } from './late-backend.ts';
import { Health, healthService } from './services/health.ts';

const CHECK = '/grpc.health.v1.Health/Check';

function started(): Backend {
  return healthService(new Health(), createLog({ role: 'test', level: 'silent' }));
}

test('calls wait until the real backend is there, and are answered by it', async (t) => {
  const late = new LateBackend(pathsOf([HealthDefinition]));
  const early = invokeUnary(late, CHECK, new Uint8Array());
  late.become(started());
  t.deepEqual([...(await early).response], [8, 2]);
  t.deepEqual([...(await invokeUnary(late, CHECK, new Uint8Array())).response], [8, 2]);
});

test('so many calls wait; one more is refused, until one of them has gone', async (t) => {
  const late = new LateBackend(pathsOf([HealthDefinition]));
  const leaving = new AbortController();
  const { signal } = leaving;
  const early = Array.from({ length: MAX_EARLY_CALLS }, (_, at) =>
    invokeUnary(late, CHECK, new Uint8Array(), at === 0 ? { signal } : {}),
  );
  await t.throwsAsync(invokeUnary(late, CHECK, new Uint8Array()), { message: /^starting/ });
  leaving.abort();
  await t.throwsAsync(Promise.all(early.slice(0, 1)), { message: /cancelled/ });
  const last = invokeUnary(late, CHECK, new Uint8Array());
  late.become(started());
  for (const call of [...early.slice(1), last]) t.deepEqual([...(await call).response], [8, 2]);
});

test('paths and kinds are those of the definition', (t) => {
  const paths = pathsOf([HealthDefinition]);
  t.is(paths.get('/grpc.health.v1.Health/Check'), 'unary');
  t.is(paths.get('/grpc.health.v1.Health/Watch'), 'server_stream');
});
