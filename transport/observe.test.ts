import test from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { drip } from '../test/support/drip.ts';
import { ANSWER_TIMEOUT_MS, serveObserve } from './observe.ts';

const options = {
  host: '127.0.0.1',
  port: 0,
  metrics: async () => 'torus_up 1\n',
  waitingFor: async () => [] as string[],
};

test('metrics, liveness and readiness are told; readiness lists what is awaited', async (t) => {
  const waiting: string[] = ['router: no assignment'];
  const server = await serveObserve({ ...options, waitingFor: async () => waiting });
  t.teardown(() => server.stop());
  const base = `http://127.0.0.1:${server.port}`;
  const metrics = await fetch(`${base}/metrics`);
  t.is(await metrics.text(), 'torus_up 1\n');
  t.regex(metrics.headers.get('content-type') ?? '', /version=0\.0\.4/);
  t.is((await fetch(`${base}/livez`)).status, 200);
  const notReady = await fetch(`${base}/readyz`);
  t.is(notReady.status, 503);
  t.regex(await notReady.text(), /router: no assignment/);
  waiting.pop();
  t.is((await fetch(`${base}/readyz`)).status, 200);
  t.is((await fetch(`${base}/else`)).status, 404);
  t.is((await fetch(`${base}/livez`, { method: 'POST' })).status, 405);
});

test('a page that fails is an error of that page, not of the process', async (t) => {
  const server = await serveObserve({
    ...options,
    metrics: () => Promise.reject(unavailable('thread is gone')),
  });
  t.teardown(() => server.stop());
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  t.is(response.status, 500);
  t.is(await response.text(), 'thread is gone\n');
});

test('a process with a thread that does not answer is neither live nor ready', async (t) => {
  const clock = new VirtualClock();
  const asked: (() => void)[] = [];
  const never = (): Promise<never> => {
    asked.shift()?.();
    return new Promise(() => undefined);
  };
  const server = await serveObserve({ ...options, clock, metrics: never, waitingFor: never });
  t.teardown(() => server.stop());
  for (const path of ['livez', 'readyz', 'metrics']) {
    const isAsked = new Promise<void>((resolve) => asked.push(resolve));
    const response = fetch(`http://127.0.0.1:${server.port}/${path}`);
    await isAsked;
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(ANSWER_TIMEOUT_MS);
    t.is((await response).status, 503, path);
  }
});

test('a port in use is told with the flag', async (t) => {
  const first = await serveObserve(options);
  t.teardown(() => first.stop());
  const error = await t.throwsAsync(serveObserve({ ...options, port: first.port }));
  t.true(error instanceof StatusError && error.code === Code.ALREADY_EXISTS);
  t.regex(error?.message ?? '', /in use by another process: choose another with --metrics-port/);
});

test('header lines that drip, and what is no HTTP, are answered before the end', async (t) => {
  const server = await serveObserve({ ...options, headersTimeoutMs: 300 });
  t.teardown(() => server.stop());
  t.regex(
    await drip(server.port, 'GET /livez HTTP/1.1\r\nx: '),
    /^HTTP\/1.1 408 .*"DEADLINE_EXCEEDED"/s,
  );
  t.regex(
    await drip(server.port, 'GET / HTTP/9.9\r\n\r\n'),
    /^HTTP\/1.1 400 .*"INVALID_ARGUMENT"/s,
  );
});
