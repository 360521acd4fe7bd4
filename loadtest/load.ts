// npm run load: sends predictions to a running server, at a rate whatever comes back (open loop),
// or so many in flight (closed loop), and prints what came of it.
import { Command, CommanderError } from 'commander';
import { z } from 'zod';
import { outliveReaders } from '../cli/client/readers.ts';
import { systemClock } from '../common/clock.ts';
import {
  Code,
  codeName,
  codeOf,
  invalidArgument,
  StatusError,
  statusOf,
} from '../common/status.ts';
import {
  ModelMetadataRequest,
  ModelMetadataResponse,
} from '../proto/gen/inference/grpc_service.ts';
import { runClosedLoop, runOpenLoop, type Send } from './generator.ts';
import { type LoadClient, openLoadClient } from './grpc-client.ts';
import type { Report } from './report.ts';
import { zeroRequest } from './zero-request.ts';

const SERVICE = '/inference.GRPCInferenceService';
const EXIT_USAGE = 64;
const MAX_CALLS = 10_000_000;

const count = (fallback: number, most: number) =>
  z.coerce.number().int().min(1).max(most).default(fallback);

/** All have bounds: a mistyped number is not to bring a machine down. */
const schema = z.object({
  address: z.string().min(3).default('127.0.0.1:8001'),
  model: z.string().min(1, 'is required'),
  rate: z.coerce.number().min(0.1).max(1_000_000).default(100),
  arrival: z.enum(['constant', 'poisson']).default('constant'),
  inFlight: z.coerce.number().int().min(1).max(10_000).optional(),
  seconds: z.coerce.number().min(0.1).max(3_600).default(10),
  rows: count(1, 65_536),
  connections: count(4, 256),
  maxOutstanding: count(1_000, 100_000),
  deadlineMs: count(10_000, 600_000),
  json: z.boolean().default(false),
});

type Settings = z.infer<typeof schema>;

const program = new Command('load')
  .description('Send predictions on zeros to a running server, and tell rate and latencies.')
  .requiredOption('--model <name>', 'model to call')
  .option('--address <host:port>', 'gRPC of a router or node (default 127.0.0.1:8001)')
  .option('--rate <calls/s>', 'open loop: calls a second, whatever comes back (default 100)')
  .option('--arrival <kind>', 'open loop: constant, or poisson (default constant)')
  .option('--in-flight <n>', 'closed loop instead: so many calls at any time')
  .option('--seconds <s>', 'how long (default 10, at most 3600)')
  .option('--rows <n>', 'rows in each request (default 1)')
  .option('--connections <n>', 'connections, used in turn (default 4)')
  .option('--max-outstanding <n>', 'open loop: calls without an answer; more are dropped (1000)')
  .option('--deadline-ms <ms>', 'of each call (default 10000)')
  .option('--json', 'print JSON, for programs')
  .addHelpText(
    'after',
    `
Latency of the open loop counts from the moment at which a call was meant to be sent.

Examples:
  npm run load -- --model digits --rate 500
  npm run load -- --model digits --in-flight 32 --seconds 5`,
  )
  .showHelpAfterError()
  .exitOverride();

function readSettings(flags: unknown): Settings {
  const parsed = schema.safeParse(flags);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw invalidArgument(problems.join('\n'));
}

function metadataOf(client: LoadClient, settings: Settings): Promise<ModelMetadataResponse> {
  const request = ModelMetadataRequest.encode({ name: settings.model, version: '' }).finish();
  return new Promise((resolve, reject) => {
    client.call(`${SERVICE}/ModelMetadata`, request, settings.deadlineMs, (code, response) => {
      if (response !== undefined) resolve(ModelMetadataResponse.decode(response));
      else
        reject(new StatusError(codeOf(code), `metadata of '${settings.model}': ${codeName(code)}`));
    });
  });
}

async function run(settings: Settings): Promise<Report> {
  const { address, connections, deadlineMs, inFlight } = settings;
  const client = openLoadClient({ address, connections });
  // Between two calls nothing else would keep the process.
  const alive = setInterval(() => undefined, 1_000);
  try {
    const request = zeroRequest(await metadataOf(client, settings), settings.rows);
    const send: Send = (done) => client.call(`${SERVICE}/ModelInfer`, request, deadlineMs, done);
    const shared = { send, durationMs: settings.seconds * 1_000, clock: systemClock };
    if (inFlight !== undefined) {
      return await runClosedLoop({ ...shared, concurrency: inFlight, maxCalls: MAX_CALLS });
    }
    const { rate: ratePerSecond, arrival, maxOutstanding } = settings;
    const open = { ...shared, ratePerSecond, arrival, maxOutstanding };
    return await runOpenLoop({ ...open, random: Math.random });
  } finally {
    client.close();
    clearInterval(alive);
  }
}

function linesOf(report: Report): readonly string[] {
  const ms = (us: number): string => `${(us / 1_000).toFixed(2)} ms`;
  const { mean, p50, p90, p99, max } = report.latencyUs;
  const failed = Object.entries(report.failed).map(([code, calls]) => `${code} ${calls}`);
  return [
    `${report.ok} of ${report.sent} calls answered well, ${report.okPerSecond.toFixed(1)}/s`,
    `latency: mean ${ms(mean)}, p50 ${ms(p50)}, p90 ${ms(p90)}, p99 ${ms(p99)}, max ${ms(max)}`,
    ...(failed.length > 0 ? [`failed: ${failed.join(', ')}`] : []),
    ...(report.dropped > 0 ? [`not sent, too many without an answer: ${report.dropped}`] : []),
  ];
}

outliveReaders(false);
try {
  program.parse();
  const settings = readSettings(program.opts());
  const report = await run(settings);
  console.log(settings.json ? JSON.stringify(report) : linesOf(report).join('\n'));
  if (report.ok === 0) process.exitCode = 1;
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const error = statusOf(thrown);
    console.error(`load: ${error.message}`);
    process.exitCode = error.code === Code.INVALID_ARGUMENT ? EXIT_USAGE : 1;
  }
}
