// Sends a model's held-out rows to the running server, as every client would: each once to count
// right answers, then for some seconds in a loop to see throughput, latency and batching.
import { systemClock } from '../../common/clock.ts';
import { codeName, StatusError, unavailable } from '../../common/status.ts';
import type { TensorSpec } from '../../common/tensor.ts';
import { runClosedLoop } from '../../loadtest/generator.ts';
import { type LoadClient, openLoadClient } from '../../loadtest/grpc-client.ts';
import type { Report } from '../../loadtest/report.ts';
import {
  ModelInferResponse,
  ModelStatisticsRequest,
  ModelStatisticsResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import { encodeRows, labelsOf, type Rows } from './rows.ts';

const SERVICE = '/inference.GRPCInferenceService';
const CALL_DEADLINE_MS = 10_000;
const STATISTICS_POLL_MS = 50;
const CONNECTIONS = 4;
const CALLS_IN_FLIGHT = 32;
const LOAD_MS = 2_000;
const LOAD_MAX_CALLS = 200_000;

export interface Evaluation {
  readonly rows: number;
  /** Share of the rows whose label came back right. */
  readonly accuracy: number;
  /** From the first call until its answer. */
  readonly firstMs: number;
  readonly load: Report;
  readonly meanBatchRows: number;
}

export interface EvaluateOptions {
  /** host:port of the router. */
  readonly address: string;
  readonly model: string;
  readonly target: string;
  readonly inputs: readonly TensorSpec[];
  readonly data: Rows;
  /** Indices of the rows that were kept from training. */
  readonly heldOut: readonly number[];
}

export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const client = openLoadClient({ address: options.address, connections: CONNECTIONS });
  try {
    const requests = options.heldOut.map((row) =>
      encodeRows(options.model, options.inputs, options.data, options.target, [row]),
    );
    const startMs = performance.now();
    const first = requests[0];
    if (first !== undefined) await infer(client, first);
    const firstMs = performance.now() - startMs;
    const accuracy = await countRight(client, requests, options);
    const before = await counters(client, options.model);
    const load = await runLoad(client, requests);
    const after = await counters(client, options.model);
    const runs = after.runs - before.runs;
    const meanBatchRows = runs > 0 ? (after.rows - before.rows) / runs : 0;
    return { rows: requests.length, accuracy, firstMs, load, meanBatchRows };
  } finally {
    client.close();
  }
}

function call(client: LoadClient, method: string, request: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.call(`${SERVICE}/${method}`, request, CALL_DEADLINE_MS, (code, response) => {
      if (code === 0 && response !== undefined) resolve(response);
      else reject(new StatusError(2, `${method} ended with ${codeName(code)}`));
    });
  });
}

async function infer(client: LoadClient, request: Uint8Array): Promise<ModelInferResponse> {
  return ModelInferResponse.decode(await call(client, 'ModelInfer', request));
}

async function countRight(
  client: LoadClient,
  requests: readonly Uint8Array[],
  options: EvaluateOptions,
): Promise<number> {
  const place = options.data.columns.indexOf(options.target);
  let right = 0;
  await Promise.all(
    requests.map(async (request, at) => {
      const answer = await infer(client, request);
      const output = answer.outputs.findIndex((one) => one.name === 'label');
      const raw = answer.rawOutputContents[output];
      if (raw === undefined) throw unavailable(`model ${options.model} has no output 'label'`);
      const [label] = labelsOf(answer.outputs[output]?.datatype ?? '', raw);
      const row = options.data.rows[options.heldOut[at] ?? -1];
      if (label === String(row?.[place])) right += 1;
    }),
  );
  return requests.length === 0 ? 0 : right / requests.length;
}

function runLoad(client: LoadClient, requests: readonly Uint8Array[]): Promise<Report> {
  let turn = 0;
  return runClosedLoop({
    send: (done) => {
      const request = requests[turn++ % requests.length] as Uint8Array;
      client.call(`${SERVICE}/ModelInfer`, request, CALL_DEADLINE_MS, done);
    },
    concurrency: CALLS_IN_FLIGHT,
    durationMs: LOAD_MS,
    maxCalls: LOAD_MAX_CALLS,
    clock: systemClock,
  });
}

/** Asks again until it is answered: a busy machine may have moved the model a moment ago. */
async function statistics(client: LoadClient, model: string): Promise<Buffer> {
  const request = ModelStatisticsRequest.encode({ name: model, version: '' }).finish();
  const endMs = systemClock.nowMs() + CALL_DEADLINE_MS;
  for (;;) {
    try {
      return await call(client, 'ModelStatistics', request);
    } catch (thrown) {
      if (systemClock.nowMs() > endMs) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, STATISTICS_POLL_MS));
  }
}

/** Rows and runs of a model so far, from ModelStatistics. */
async function counters(
  client: LoadClient,
  model: string,
): Promise<{ readonly rows: number; readonly runs: number }> {
  const answer = ModelStatisticsResponse.decode(await statistics(client, model));
  let [rows, runs] = [0, 0];
  for (const one of answer.modelStats) {
    rows += Number(one.inferenceCount);
    runs += Number(one.executionCount);
  }
  return { rows, runs };
}
