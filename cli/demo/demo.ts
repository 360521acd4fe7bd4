// The demo: from a data file to predictions, as a client of the server that was just started. What
// is already there (a sealed data set, a published model) is left as it is, so a later start only
// serves.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { Code, hasCode, unavailable } from '../../common/status.ts';
import type { TensorSpec } from '../../common/tensor.ts';
import { readManifest } from '../../model/manifest.ts';
import { ModelVersion } from '../../proto/gen/torus/v1/model.ts';
import type { BlobReader } from '../../stores/blobs/blobs.ts';
import { readSmallBlob } from '../../stores/blobs/small-blobs.ts';
import { type CommandContext, figure, followJob } from '../commands/context.ts';
import { addDataset, rejectedLines } from '../commands/dataset.ts';
import { startTraining } from '../commands/train.ts';
import { type Evaluation, evaluate } from './evaluate.ts';
import { DEMO_MODELS, type DemoModel } from './models.ts';
import { findOpenJob } from './open-job.ts';
import { type Addresses, tryNext } from './try-next.ts';

/** A published model is served after this long at most, or the demo gives up. */
const SERVE_TIMEOUT_MS = 30_000;
const POLL_MS = 50;
/** Name of the file, among a version's files, that lists the rows kept from training. */
const HELD_OUT_FILE = 'held-out.json';
const MAX_HELD_OUT_BYTES = 16 * 1024 * 1024;

export interface DemoOptions {
  readonly context: CommandContext;
  readonly addresses: Addresses;
  readonly blobs: BlobReader;
  readonly signal: AbortSignal;
  say(line: string): void;
}

export async function runDemo(options: DemoOptions): Promise<void> {
  for (const model of DEMO_MODELS) {
    if (options.signal.aborted) return;
    await ensureDataset(options, model);
    await ensureModel(options, model);
    await waitServed(options, model.name);
    report(options, model, await evaluateModel(options, model));
  }
  const digits = DEMO_MODELS[0];
  if (digits === undefined) return;
  const { rows } = digits.parse(await readFile(digits.file, 'utf8'));
  for (const line of tryNext(options.addresses, JSON.stringify(rows[0]?.slice(0, 64)))) {
    options.say(line);
  }
}

async function exists(context: CommandContext, path: string, field: string): Promise<boolean> {
  try {
    const found = (await context.client.call('GET', path)) as Record<string, unknown>;
    return Number(found[field] ?? 0) > 0;
  } catch (thrown) {
    if (hasCode(thrown, Code.NOT_FOUND)) return false;
    throw thrown;
  }
}

async function ensureDataset({ context, say }: DemoOptions, model: DemoModel): Promise<void> {
  if (await exists(context, `/api/v1/datasets/${model.name}`, 'latestSealedVersion')) return;
  const { name, file } = model;
  const open = await findOpenJob(context.client, { dataset: name });
  const job =
    open === undefined
      ? await addDataset(context, { name, file, seals: true })
      : await followJob(context, open, `import ${name}`);
  const { accepted = 0, rejected = 0 } = job.result?.metrics ?? {};
  say(`data set ${model.name}: ${figure(accepted)} rows accepted, ${figure(rejected)} rejected`);
  if (rejected === 0) return;
  const path = `/api/v1/datasets/${model.name}/versions/1/rejected?page_size=5`;
  const answer = (await context.client.call('GET', path)) as {
    rejectedRows?: { rowNumber: string; reason: string }[];
  };
  const rows = (answer.rejectedRows ?? []).map(({ rowNumber, reason }) => ({
    rowNumber: BigInt(rowNumber),
    reason,
  }));
  for (const line of rejectedLines(rows)) say(`  ${line}`);
}

async function ensureModel({ context, say }: DemoOptions, model: DemoModel): Promise<void> {
  if (await exists(context, `/api/v1/models/${model.name}`, 'servingVersion')) {
    say(`model ${model.name}: published before, served without training again`);
    return;
  }
  const open = await findOpenJob(context.client, { model: model.name });
  const started =
    open ??
    (await startTraining(context, {
      dataset: model.name,
      target: model.target,
      model: model.name,
      algorithm: 'mlp',
      epochs: model.epochs,
      hidden: model.hidden,
      seed: '1',
    }));
  const job = await followJob(context, started, `train ${model.name}`);
  const metrics = job.result?.metrics ?? {};
  const difference = job.result?.maxAbsDifference ?? metrics.max_abs_difference ?? Number.NaN;
  say(
    `model ${model.name}: ${job.result?.modelVersion} published, ` +
      `ONNX Runtime and TensorFlow.js differ by at most ${difference.toExponential(1)}`,
  );
}

async function waitServed({ context, signal }: DemoOptions, model: string): Promise<void> {
  const endMs = performance.now() + SERVE_TIMEOUT_MS;
  while (!signal.aborted) {
    try {
      await context.client.call('GET', `/v2/models/${model}/ready`);
      return;
    } catch (thrown) {
      if (performance.now() > endMs) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function evaluateModel(options: DemoOptions, model: DemoModel): Promise<Evaluation> {
  const { context, blobs } = options;
  const found = (await context.client.call('GET', `/api/v1/models/${model.name}`)) as {
    servingVersion: string;
  };
  const path = `/api/v1/models/${model.name}/versions/${found.servingVersion}`;
  const version = ModelVersion.fromJSON(await context.client.call('GET', path));
  const manifest = await readManifest(blobs, version.manifestSha256);
  const file = manifest.files.find((one) => one.path === HELD_OUT_FILE);
  if (file === undefined) throw unavailable(`model ${model.name} names no held-out rows`);
  const text = await readSmallBlob(blobs, { sha256: file.sha256, maxBytes: MAX_HELD_OUT_BYTES });
  const heldOut = z.object({ rows: z.array(z.number()) }).parse(JSON.parse(text.toString()));
  return await evaluate({
    address: options.addresses.grpc,
    model: model.name,
    target: model.target,
    inputs: manifest.inputs as readonly TensorSpec[],
    data: model.parse(await readFile(model.file, 'utf8')),
    heldOut: heldOut.rows,
  });
}

function report({ say }: DemoOptions, model: DemoModel, found: Evaluation): void {
  const { load } = found;
  const ms = (us: number): string => `${(us / 1_000).toFixed(2)} ms`;
  say(
    `${model.name} over gRPC: accuracy ${(found.accuracy * 100).toFixed(1)}% on ${found.rows} ` +
      `held-out rows; ${figure(Math.round(load.okPerSecond))} predictions/s, ` +
      `p50 ${ms(load.latencyUs.p50)}, p99 ${ms(load.latencyUs.p99)}, ` +
      `mean batch ${found.meanBatchRows.toFixed(1)}; ` +
      `first answer after ${found.firstMs.toFixed(0)} ms`,
  );
  const failed = Object.entries(load.failed);
  if (failed.length > 0) say(`  failed: ${failed.map(([code, n]) => `${n} ${code}`).join(', ')}`);
}
