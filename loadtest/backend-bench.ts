// What serving a small model costs beside the transport: ModelInfer calls go straight into a node's
// Backend, in one process, without a socket. `node loadtest/backend-bench.ts` prints a table:
// calls/s and processor time per call (all threads), for each way to run the model, round by round
// in turn. The bare call is what the measuring itself costs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { createMetrics } from '../common/metrics.ts';
import type { StatusError } from '../common/status.ts';
import type { Way } from '../server/engines/engine.ts';
import { createLoadModel, onnxInstances } from '../server/engines/load-model.ts';
import { startInlineInstance } from '../server/engines/onnx/inline.ts';
import { type InferenceNode, startNode } from '../server/node.ts';
import { type Backend, NO_METADATA, type UnaryCall } from '../transport/backend.ts';
import { spread } from './comparison.ts';
import { tinyMlpRequest, writeTinyRepository } from './tiny-mlp.ts';

const IN_FLIGHT = [1, 16, 64, 256];
const ROUNDS = 7;
const ROUND_MS = 500;
const WARM_UP_MS = 500;
const LOOK_MS = 10;
const DEADLINE_MS = 60_000;
const PATH = '/inference.GRPCInferenceService/ModelInfer';

/** Keeps `inFlight` calls going; those that were answered in one turn are made again together. */
class Driver {
  readonly #backend: Backend;
  readonly #request = tinyMlpRequest();
  answered = 0;
  failure: StatusError | undefined;
  #due = 0;
  #isComing = false;
  #ends = false;
  #inFlight = 0;
  #onIdle = (): void => {};

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async run(inFlight: number, durationMs: number): Promise<void> {
    this.#ends = false;
    this.#due = inFlight;
    this.#submit();
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    this.#ends = true;
    if (this.#inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #submit(): void {
    this.#isComing = false;
    const count = this.#due;
    this.#due = 0;
    if (this.#ends) return;
    this.#inFlight += count;
    const deadlineMs = performance.now() + DEADLINE_MS;
    for (let at = 0; at < count; at += 1) {
      this.#backend.unary(new BenchCall(this, this.#request, deadlineMs));
    }
  }

  done(): void {
    this.answered += 1;
    this.#inFlight -= 1;
    this.#due += 1;
    if (this.#ends) {
      if (this.#inFlight === 0) this.#onIdle();
      return;
    }
    if (this.#isComing) return;
    this.#isComing = true;
    setImmediate(() => this.#submit());
  }
}

class BenchCall implements UnaryCall {
  readonly path = PATH;
  readonly metadata = NO_METADATA;
  readonly peer = 'local';
  readonly isCancelled = false;
  readonly deadlineMs: number;
  readonly request: Uint8Array;
  onCancel: (() => void) | undefined;
  readonly #driver: Driver;

  constructor(driver: Driver, request: Uint8Array, deadlineMs: number) {
    this.#driver = driver;
    this.request = request;
    this.deadlineMs = deadlineMs;
  }

  succeed(): void {
    this.#driver.done();
  }

  fail(error: StatusError): void {
    this.#driver.failure = error;
    this.#driver.done();
  }
}

interface Side {
  readonly name: string;
  readonly driver: Driver;
  readonly rounds: Map<number, { perSecond: number; cpuUs: number }[]>;
}

const BARE: Backend = {
  methods: new Map([[PATH, 'unary']]),
  unary: (call) => call.succeed(call.request),
  stream: () => {},
};

async function measure({ driver, name }: Side, inFlight: number, durationMs: number) {
  const before = driver.answered;
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await driver.run(inFlight, durationMs);
  const seconds = (performance.now() - startMs) / 1e3;
  const cpu = process.cpuUsage(cpuBefore);
  if (driver.failure !== undefined) throw new Error(`${name}: ${driver.failure.message}`);
  const calls = driver.answered - before;
  return { perSecond: calls / seconds, cpuUs: (cpu.user + cpu.system) / calls };
}

async function startLoneNode(folder: string, dataDir: string, way: Way): Promise<InferenceNode> {
  const log = createLog({ role: 'node', level: 'warn' });
  const node = await startNode({
    id: 'bench',
    source: { kind: 'repository', folder },
    dataDir,
    clock: systemClock,
    dateMs: Date.now,
    log,
    metrics: createMetrics(),
    loadModel: createLoadModel(onnxInstances(), {
      execution: way === 'worker' ? 'worker' : 'inline',
      startInline: (inline) =>
        startInlineInstance(inline, way === 'inline_public' ? 'public' : 'binding'),
    }),
    serverVersion: 'bench',
    onFatal: (error) => log.error({ err: error }, 'the node has to end'),
  });
  while (node.waitingFor().length > 0) await new Promise((go) => setTimeout(go, LOOK_MS));
  return node;
}

function print(sides: readonly Side[]): void {
  console.log('| calls in flight | way | calls/s | CPU us a call |');
  console.log('|---|---|---|---|');
  for (const inFlight of IN_FLIGHT) {
    for (const { name, rounds } of sides) {
      const measured = rounds.get(inFlight) ?? [];
      const rate = spread(measured.map(({ perSecond }) => perSecond));
      const cpu = spread(measured.map(({ cpuUs }) => cpuUs));
      const [k, least, most] = [rate.median, rate.least, rate.most].map((n) =>
        (n / 1e3).toFixed(0),
      );
      const us = [cpu.median, cpu.least, cpu.most].map((n) => n.toFixed(2));
      console.log(
        `| ${inFlight} | ${name} | ${k}k (${least}-${most}) | ${us[0]} (${us[1]}-${us[2]}) |`,
      );
    }
  }
}

const only = process.argv[2];
const folder = await mkdtemp(join(tmpdir(), 'torus-backend-bench-'));
const nodes: InferenceNode[] = [];
const sides: Side[] = [{ name: 'bare call', driver: new Driver(BARE), rounds: new Map() }];
try {
  for (const way of ['worker', 'inline_public', 'inline'] as const) {
    if (only !== undefined && only !== way) continue;
    const repository = join(folder, way);
    await writeTinyRepository(repository);
    const node = await startLoneNode(repository, join(folder, `${way}-data`), way);
    nodes.push(node);
    sides.push({ name: way, driver: new Driver(node.backend), rounds: new Map() });
  }
  for (const inFlight of IN_FLIGHT) {
    for (const side of sides) await measure(side, inFlight, WARM_UP_MS);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const side of sides) {
        const rounds = side.rounds.get(inFlight) ?? [];
        rounds.push(await measure(side, inFlight, ROUND_MS));
        side.rounds.set(inFlight, rounds);
      }
    }
  }
  print(sides);
} finally {
  for (const node of nodes) await node.stop();
  await rm(folder, { recursive: true, force: true });
}
