import test from 'ava';
import { createLog } from '../common/log.ts';
import { HealthDefinition } from '../proto/gen/grpc/health/v1/health.ts';
import { invokeUnary } from './invoke.ts';
import { LateBackend, pathsOf } from './late-backend.ts';
import { Health, healthService } from './services/health.ts';

test('calls are refused until the real backend is there, then answered by it', async (t) => {
  const late = new LateBackend(pathsOf([HealthDefinition]));
  const check = () => invokeUnary(late, '/grpc.health.v1.Health/Check', new Uint8Array());
  await t.throwsAsync(check(), { message: /^starting/ });
  late.become(healthService(new Health(), createLog({ role: 'test', level: 'silent' })));
  t.deepEqual([...(await check()).response], [8, 2]);
});

test('paths and kinds are those of the definition', (t) => {
  const paths = pathsOf([HealthDefinition]);
  t.is(paths.get('/grpc.health.v1.Health/Check'), 'unary');
  t.is(paths.get('/grpc.health.v1.Health/Watch'), 'server_stream');
});
