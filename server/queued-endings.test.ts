// Calls that end while they wait in a model's queue, over the wire: nothing of them is left, and
// their place in the queue is free at once.
import { setImmediate as turn } from 'node:timers/promises';
import test from 'ava';
import { createLog } from '../common/log.ts';
import { renderMetrics, snapshot } from '../common/metrics.ts';
import { fp32 } from '../test/support/infer-requests.ts';
import { inferBytes } from '../test/support/inference-client.ts';
import { serve } from '../test/support/lone-node.ts';
import { addModel } from '../test/support/tiny-onnx.ts';
import { type OwnGrpcListener, serveGrpc } from '../transport/server/serve-grpc.ts';
import {
  statusOfAnswer,
  textOfAnswer,
  type WireCall,
  WireClient,
} from '../transport/server/wire-client.ts';

const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';
const REQUEST = inferBytes('add', [fp32('a', [1, 2], [1, 2]), fp32('b', [1, 2], [3, 4])]);
/** Longer than the test; and with room for one, so that a place that is not freed is missed. */
const CONFIG = `
  max_batch_size: 4
  dynamic_batching {
    max_queue_delay_microseconds: 60000000
    default_queue_policy { max_queue_size: 1 }
  }`;
const NOTHING = { calls: 0, requestBytes: 0, answerBytes: 0, deadlines: 0 };
const DEADLINE = '2S';

type End = (call: WireCall, client: WireClient, server: OwnGrpcListener) => unknown;

/** The client is there afterwards or not. */
const ENDINGS: Record<string, End> = {
  'reset by its caller': (call) => call.cancel(),
  'its deadline has passed': async (call) => {
    const answer = await call.ended;
    if (statusOfAnswer(answer) !== '4') throw new Error(textOfAnswer(answer));
  },
  'its caller is gone': (_call, client) => client.cut(),
  'the listener stops': (_call, _client, server) => server.stop(),
};

test('a call that ends while it is queued leaves its place, however it ends', async (t) => {
  const files = { 'add/1/model.onnx': addModel(2), 'add/config.pbtxt': CONFIG };
  const { node, metrics } = await serve(t, files);
  const log = createLog({ role: 'test', level: 'silent' });
  const pending = async (): Promise<number> => {
    const page = await renderMetrics([await snapshot(metrics)]);
    return Number(/^nv_inference_pending_request_count\{.*\} (\d+)$/m.exec(page)?.[1] ?? 0);
  };
  for (const [ending, end] of Object.entries(ENDINGS)) {
    const server = await serveGrpc({ backend: node.backend, host: '127.0.0.1', port: 0, log });
    const client = new WireClient(server.port);
    const isTimed = ending === 'its deadline has passed';
    const call = client.call(MODEL_INFER, isTimed ? { 'grpc-timeout': DEADLINE } : {});
    call.message(REQUEST);
    call.stream.end();
    while ((await pending()) === 0) await turn();
    await end(call, client, server);
    while (server.held.calls > 0) await turn();
    t.is(await pending(), 0, ending);
    t.like(server.held, NOTHING, ending);
    client.cut();
    server.stop();
  }
});
