import { gzipSync } from 'node:zlib';
import test from 'ava';
import { DOUBLER, doubler } from '../testing/doubler.ts';
import { startedGateway } from '../testing/started.ts';

const URL_PATH = `/v2/models/${DOUBLER}/infer`;
const HEADER = 'inference-header-content-length';

const input = (data: unknown, shape: readonly number[] = [2]) => ({
  id: 'r',
  inputs: [{ name: 'X', datatype: 'FP32', shape, data }],
});

test('JSON in, JSON out; a version in the address is the one that answers', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const answer = await gateway.post(URL_PATH, input([1, 2.25]));
  t.is(answer.status, 200);
  t.is(
    answer.text,
    `{"id":"r","model_name":"${DOUBLER}","model_version":"1","outputs":[` +
      '{"name":"TWICE_X","datatype":"FP32","shape":[2],"data":[2.0,4.5]}]}',
  );
  const second = await gateway.post(`/v2/models/${DOUBLER}/versions/7/infer`, input([1, 2]));
  t.is(second.json.model_version, '7');
});

test('what curl -d sends without a header is JSON; compressed bodies are inflated', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const body = JSON.stringify(input([1, 2]));
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) {
    const headers = { 'content-type': type };
    t.is((await gateway.send(URL_PATH, { method: 'POST', body, headers })).status, 200, type);
  }
  const headers = { 'content-encoding': 'gzip' };
  const zipped = await gateway.send(URL_PATH, { method: 'POST', body: gzipSync(body), headers });
  t.is(zipped.status, 200);
  const broken = await gateway.send(URL_PATH, { method: 'POST', body, headers });
  t.is(broken.status, 400);
  const other = await gateway.send(URL_PATH, {
    method: 'POST',
    body,
    headers: { 'content-encoding': 'br' },
  });
  t.is(other.status, 501);
  t.is(other.headers.get('accept-encoding'), 'gzip, deflate');
});

test('binary in and out, with the length of the JSON in front told', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const json = Buffer.from(
    JSON.stringify({
      inputs: [
        { name: 'X', datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } },
        { name: 'H', datatype: 'FP16', shape: [1], parameters: { binary_data_size: 2 } },
      ],
      parameters: { binary_data_output: true },
    }),
  );
  const blobs = Buffer.concat([
    Buffer.from(Float32Array.from([1, -3]).buffer),
    Buffer.from([1, 2]),
  ]);
  const response = await fetch(`${gateway.url}${URL_PATH}`, {
    method: 'POST',
    body: Buffer.concat([json, blobs]),
    headers: { [HEADER]: String(json.length) },
  });
  t.is(response.status, 200);
  t.is(response.headers.get('content-type'), 'application/octet-stream');
  const length = Number(response.headers.get(HEADER));
  const body = Buffer.from(await response.arrayBuffer());
  const answer = JSON.parse(body.subarray(0, length).toString()) as {
    outputs: { parameters: unknown; data?: unknown }[];
  };
  t.deepEqual(
    answer.outputs.map((one) => one.parameters),
    [{ binary_data_size: 8 }, { binary_data_size: 2 }],
  );
  const raw = body.subarray(length);
  t.deepEqual([raw.readFloatLE(0), raw.readFloatLE(4), raw[8], raw[9]], [2, -6, 1, 2]);
});

test('a raw body is the one input of its model, and the answer comes in binary', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const response = await fetch(`${gateway.url}${URL_PATH}`, {
    method: 'POST',
    body: Buffer.from(Float32Array.from([1, 2, 3]).buffer),
    headers: { [HEADER]: '0' },
  });
  const length = Number(response.headers.get(HEADER));
  const body = Buffer.from(await response.arrayBuffer());
  t.like(JSON.parse(body.subarray(0, length).toString()), {
    outputs: [{ shape: [1, 3], parameters: { binary_data_size: 12 } }],
  });
  t.is(body.subarray(length).readFloatLE(8), 6);
});

test('a length of the JSON that is none is refused', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  for (const length of ['99999', '-1', 'x', '1.5', '9'.repeat(30)]) {
    const answer = await gateway.post(URL_PATH, input([1, 2]), { [HEADER]: length });
    t.is(answer.status, 400, length);
    t.regex(String(answer.json.error), /should be in range \(0, \d+\), got: /);
  }
});

test('a body above the limit is 413 with the limit, told by its length or found out', async (t) => {
  const gateway = await startedGateway({ inference: doubler(), maxBodyBytes: 64 * 1024 });
  t.teardown(gateway.stop);
  const large = Buffer.alloc(65 * 1024, ' ');
  const told = await gateway.send(URL_PATH, { method: 'POST', body: large });
  t.is(told.status, 413);
  t.like(told.json, { code: 'RESOURCE_EXHAUSTED' });
  t.regex(String(told.json.error), /limit of 65536 bytes/);
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(large);
      controller.close();
    },
  });
  const init = { method: 'POST', body: stream, duplex: 'half' } as RequestInit;
  t.is((await gateway.send(URL_PATH, init)).status, 413);
  const bomb = gzipSync(Buffer.alloc(10 * 1024 * 1024, ' '));
  const headers = { 'content-encoding': 'gzip' };
  const inflated = await gateway.send(URL_PATH, { method: 'POST', body: bomb, headers });
  t.is(inflated.status, 413);
  t.is((await gateway.post(URL_PATH, input([1, 2]))).status, 200);
});

test('a large answer streams, and is right to the last value', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  const values = Array.from({ length: 300_000 }, (_, at) => at);
  const answer = await gateway.post(URL_PATH, input(values, [300, 1000]));
  const outputs = answer.json.outputs as { data: number[] }[];
  t.deepEqual(
    outputs[0]?.data,
    values.map((value) => value * 2),
  );
});

test('an error of the node keeps its code and text', async (t) => {
  const gateway = await startedGateway({ inference: doubler() });
  t.teardown(gateway.stop);
  t.like(await gateway.post('/v2/models/x/infer', input([1, 2])), {
    status: 404,
    json: { error: "Request for unknown model: 'x' is not found", code: 'NOT_FOUND' },
  });
});

test('grpc-timeout is the deadline of the call; nonsense is refused', async (t) => {
  const never = new Promise<void>(() => undefined);
  const gateway = await startedGateway({ inference: doubler({ onInfer: () => never }) });
  t.teardown(gateway.stop);
  const late = await gateway.post(URL_PATH, input([1, 2]), { 'grpc-timeout': '20m' });
  t.is(late.status, 504);
  t.is(late.json.code, 'DEADLINE_EXCEEDED');
  for (const wrong of ['5', 'soon', '-1S', '123456789S', '1 S']) {
    const answer = await gateway.post(URL_PATH, input([1, 2]), { 'grpc-timeout': wrong });
    t.is(answer.status, 400, wrong);
  }
});

test('a client that goes away ends its call, and its trace travels', async (t) => {
  const arrived = Promise.withResolvers<readonly unknown[]>();
  const ended = Promise.withResolvers<void>();
  const gateway = await startedGateway({
    inference: doubler({
      onInfer: async (context) => {
        context.signal.addEventListener('abort', () => ended.resolve());
        arrived.resolve(context.metadata);
        await ended.promise;
      },
    }),
  });
  t.teardown(gateway.stop);
  const controller = new AbortController();
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const gone = t.throwsAsync(
    fetch(`${gateway.url}${URL_PATH}`, {
      method: 'POST',
      body: JSON.stringify(input([1, 2])),
      headers: { traceparent: trace },
      signal: controller.signal,
    }),
  );
  t.deepEqual(await arrived.promise, [['traceparent', trace]]);
  controller.abort();
  await ended.promise;
  await gone;
});
