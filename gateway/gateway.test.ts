import test from 'ava';
import { createMetrics } from '../common/metrics.ts';
import { Code } from '../common/status.ts';
import { startGateway } from './gateway.ts';
import { hashingSink, nobody, nowhere, startedGateway } from './testing/started.ts';

test('an unknown address is 404, a wrong method 405 with the right ones', async (t) => {
  const gateway = await startedGateway();
  t.teardown(gateway.stop);
  const unknown = await gateway.get('/nope');
  t.is(unknown.status, 404);
  t.deepEqual(unknown.json, { error: 'Not Found', code: 'NOT_FOUND' });
  const wrong = await gateway.post('/v2', {});
  t.is(wrong.status, 405);
  t.is(wrong.headers.get('allow'), 'GET, HEAD');
  const id = await gateway.send('/api/v1/jobs/x', { method: 'DELETE' });
  t.is(id.status, 405);
});

test('an address that is no address, or climbs, is refused before any route', async (t) => {
  const gateway = await startedGateway();
  t.teardown(gateway.stop);
  t.is((await gateway.get('/api/v1/jobs/%zz')).status, 400);
  for (const name of [
    '..%2f..%2fetc%2fpasswd',
    '%2e%2e',
    'a%2Fversions%2F3',
    '%00',
    '%F0%9F%98%80',
  ]) {
    const answer = await gateway.get(`/api/v1/models/${name}`);
    t.is(answer.status, 404, name);
    t.is(answer.json.code, 'NOT_FOUND', name);
  }
});

test('the page of the API names its parts, and every part is in the document', async (t) => {
  const gateway = await startedGateway();
  t.teardown(gateway.stop);
  t.is((await gateway.get('/')).json.openapi, '/openapi.json');
  const document = (await gateway.get('/openapi.json')).json;
  const paths = Object.keys(document.paths as object);
  for (const path of ['/v2/health/ready', '/api/v1/blobs', '/api/v1/jobs/{job}/watch']) {
    t.true(paths.includes(path), path);
  }
});

test('a page of another site changes nothing', async (t) => {
  const gateway = await startedGateway();
  t.teardown(gateway.stop);
  const foreign = await gateway.post('/api/v1/jobs', {}, { 'sec-fetch-site': 'cross-site' });
  t.is(foreign.status, 403);
  const own = await gateway.post('/api/v1/jobs', {}, { 'sec-fetch-site': 'same-origin' });
  t.is(own.status, 501);
});

test('off loopback without TLS it does not start, unless told', async (t) => {
  const options = {
    host: '0.0.0.0',
    port: 0,
    inference: nobody,
    admin: nobody,
    blobs: hashingSink(),
    log: nowhere,
    metrics: createMetrics(),
  };
  const refused = await t.throwsAsync(startGateway(options));
  t.is((refused as { code?: unknown }).code, Code.FAILED_PRECONDITION);
  t.regex(refused?.message ?? '', /--insecure/);
});

test('a port that is taken is told with its flag', async (t) => {
  const gateway = await startedGateway();
  t.teardown(gateway.stop);
  const port = Number(new URL(gateway.url).port);
  const error = await t.throwsAsync(startedGateway({ port }));
  t.regex(error?.message ?? '', /port \d+ on 127.0.0.1 is in use.*--http-port/);
});

test('requests are counted by route template and status', async (t) => {
  const gateway = await startedGateway();
  await gateway.get('/api/v1/models/one');
  await gateway.get('/api/v1/models/two');
  await gateway.get('/nope');
  await gateway.stop();
  const text = await gateway.metrics.metrics();
  t.regex(text, /requests_total\{route="GET \/api\/v1\/models\/:model",code="501"\} 2/);
  t.regex(text, /requests_total\{route="none",code="404"\} 1/);
  t.regex(text, /request_duration_seconds_count\{route="none"\} 1/);
  t.regex(text, /torus_gateway_requests_in_flight 0/);
});
