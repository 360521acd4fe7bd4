import test from 'ava';
import { DOUBLER, doubler, type Loaded } from '../testing/doubler.ts';
import { startedGateway } from '../testing/started.ts';

test('health: yes is 200, no is 400', async (t) => {
  const ready = await startedGateway({ inference: doubler() });
  const waiting = await startedGateway({ inference: doubler({ isReady: false }) });
  t.teardown(() => Promise.all([ready.stop(), waiting.stop()]));
  t.like(await ready.get('/v2/health/live'), { status: 200, text: '{"live":true}' });
  t.like(await ready.get('/v2/health/ready'), { status: 200, text: '{"ready":true}' });
  t.like(await waiting.get('/v2/health/ready'), { status: 400, text: '{"ready":false}' });
  t.is((await ready.get(`/v2/models/${DOUBLER}/ready`)).status, 200);
  t.is((await ready.get(`/v2/models/${DOUBLER}/versions/1/ready`)).status, 200);
  const other = await ready.get('/v2/models/other/ready');
  t.is(other.status, 400);
  t.is(other.json.error, 'Model version not ready');
});

test('a model is described in the names of the protocol, exact, with empty fields', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  t.like((await gateway.get('/v2')).json, {
    name: 'torus',
    extensions: ['binary_tensor_data', 'statistics'],
  });
  const metadata = await gateway.get(`/v2/models/${DOUBLER}`);
  t.true(metadata.text.includes('"shape":[-1,9007199254740993]'));
  t.like(metadata.json, { versions: ['1'], platform: 'test' });
  const config = (await gateway.get(`/v2/models/${DOUBLER}/config`)).json;
  t.like(config, { name: DOUBLER, max_batch_size: 8, default_model_filename: '' });
  t.like((config.input as unknown[])[0], { data_type: 'TYPE_FP32', dims: [-1], optional: false });
  t.deepEqual(config.version_policy, { latest: { num_versions: 1 } });
  for (const path of [`/v2/models/${DOUBLER}/stats`, '/v2/models/stats']) {
    t.true((await gateway.get(path)).text.includes('"inference_count":1152921504606846976'));
  }
});

test('unknown model and version are 404 with the text that clients know', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  t.like(await gateway.get('/v2/models/x'), {
    status: 404,
    json: { error: "Request for unknown model: 'x' is not found", code: 'NOT_FOUND' },
  });
  t.is((await gateway.get(`/v2/models/${DOUBLER}/versions/one`)).status, 404);
  t.is((await gateway.get('/v2/models/..%2F..%2Fetc')).status, 404);
});

test('a name that no model can have is unknown, however long it is', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  for (const name of ['x'.repeat(129), 'y'.repeat(5_000), '%00', '-', 'a%20b']) {
    for (const path of ['', '/config', '/stats', '/ready', '/versions/1', '/infer']) {
      const url = `/v2/models/${name}${path}`;
      const answer = path === '/infer' ? await gateway.post(url, {}) : await gateway.get(url);
      t.is(answer.status, 404, url.slice(0, 60));
      t.regex(String(answer.json.error), /^Request for unknown model: '.{1,128}' is not found$/s);
    }
    const repository = `/v2/repository/models/${name}`;
    t.is((await gateway.post(`${repository}/load`, {})).status, 404);
    t.is((await gateway.post(`${repository}/unload`, {})).status, 200);
  }
});

test('the index is a list without empty fields; ready must be a boolean', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const all = await gateway.send('/v2/repository/index', { method: 'POST' });
  t.is(all.text, `[{"name":"${DOUBLER}","version":"1","state":"READY"},{"name":"other"}]`);
  const ready = await gateway.post('/v2/repository/index', { ready: true });
  t.is((ready.json as unknown as unknown[]).length, 1);
  const wrong = await gateway.post('/v2/repository/index', { ready: 'yes' });
  t.like(wrong, { status: 400 });
  t.is(wrong.json.error, "Invalid value for 'ready': expected a boolean");
});

test('load passes its parameters on, typed; a file comes as base64', async (t) => {
  const loaded: Loaded = new Map();
  const gateway = await startedGateway({ inference: doubler({ loaded }) });
  t.teardown(gateway.stop);
  const answer = await gateway.post('/v2/repository/models/m/load', {
    parameters: { config: '{}', 'file:1/model.onnx': 'AQID', n: 3, b: true },
  });
  t.like(answer, { status: 200, text: '' });
  const parameters = loaded.get('m')?.parameters;
  t.like(parameters?.get('config')?.parameterChoice, { $case: 'stringParam', stringParam: '{}' });
  const file = parameters?.get('file:1/model.onnx')?.parameterChoice;
  t.deepEqual(file?.$case === 'bytesParam' ? [...file.bytesParam] : [], [1, 2, 3]);
  t.like(parameters?.get('n')?.parameterChoice, { int64Param: 3n });
  t.like(parameters?.get('b')?.parameterChoice, { boolParam: true });
  for (const wrong of [[], { a: [] }, { 'file:1/m': '*' }, { a: 1.5 }]) {
    t.is((await gateway.post('/v2/repository/models/m/load', { parameters: wrong })).status, 400);
  }
});
