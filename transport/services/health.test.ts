import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import { HealthDefinition } from '../../proto/gen/grpc/health/v1/health.ts';
import { invokeStream, invokeUnary } from '../invoke.ts';
import { codecOf } from '../service.ts';
import { Health, healthService } from './health.ts';

const log = createLog({ role: 'test', level: 'silent' });
const { check, watch, list } = HealthDefinition.methods;
const request = (service: string): Uint8Array => check.requestType.encode({ service }).finish();

function scene() {
  const health = new Health();
  const backend = healthService(health, log);
  const ask = async (service: string): Promise<number> => {
    const { response } = await invokeUnary(
      backend,
      `/grpc.health.v1.Health/${check.name}`,
      request(service),
    );
    return check.responseType.decode(response).status;
  };
  const watching = (service: string) => {
    const path = `/grpc.health.v1.Health/${watch.name}`;
    return invokeStream(backend, path, [request(service)]);
  };
  const next = async (stream: ReturnType<typeof watching>): Promise<number | undefined> => {
    const { value } = await stream.next();
    return value && watch.responseType.decode(value).status;
  };
  return { health, backend, ask, watching, next };
}

test('Check tells how a service is; one that is not known is NOT_FOUND', async (t) => {
  const { health, ask } = scene();
  t.is(await ask(''), 2);
  health.set('', true);
  t.is(await ask(''), 1);
  const error = await t.throwsAsync(ask('x.Y'), { instanceOf: StatusError });
  t.is(error?.code, Code.NOT_FOUND);
});

test('Watch tells the status now and each change, SERVICE_UNKNOWN included', async (t) => {
  const { health, watching, next } = scene();
  const stream = watching('x.Y');
  t.is(await next(stream), 3);
  health.set('other', true);
  health.set('x.Y', true);
  t.is(await next(stream), 1);
  health.set('x.Y', false);
  t.is(await next(stream), 2);
  health.remove('x.Y');
  t.is(await next(stream), 3);
  await stream.return?.();
});

test('a watcher that goes is forgotten', async (t) => {
  const { health, watching, next } = scene();
  const stopped = Promise.withResolvers<void>();
  const onChange = health.onChange.bind(health);
  health.onChange = (listener) => {
    const stop = onChange(listener);
    return () => {
      stop();
      stopped.resolve();
    };
  };
  const stream = watching('');
  t.is(await next(stream), 2);
  await stream.return?.();
  await stopped.promise;
});

test('List tells all services, up to a limit', async (t) => {
  const { health, backend } = scene();
  const ask = async () => {
    const { response } = await invokeUnary(
      backend,
      `/grpc.health.v1.Health/${list.name}`,
      new Uint8Array(),
    );
    return codecOf(list.responseType).decode(response).statuses;
  };
  health.set('a', true);
  t.deepEqual(
    [...(await ask())].map(([name, { status }]) => [name, status]),
    [
      ['', 2],
      ['a', 1],
    ],
  );
  for (let at = 0; at < 100; at++) health.set(`s${at}`, true);
  const error = await t.throwsAsync(ask(), { instanceOf: StatusError });
  t.is(error?.code, Code.RESOURCE_EXHAUSTED);
});
