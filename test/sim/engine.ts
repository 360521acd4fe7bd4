// A model that is loaded, without an engine behind it: each request takes its time and is answered
// with the version's content. Everything that runs is counted, by the request's number.
import { unavailable } from '../../common/status.ts';
import type { Tensor } from '../../common/tensor.ts';
import { ModelConfig } from '../../proto/gen/inference/model_config.ts';
import type { LoadVersionOptions, VersionFiles } from '../../server/load-version.ts';
import type {
  InferRequest,
  LoadedModel,
  ModelState,
  RowOutputs,
} from '../../server/loaded-model.ts';
import type { ServedVersion } from '../../server/model-table.ts';
import { bytesOfNumber, contentOf, numberOfBytes, signatureOf } from './artifacts.ts';
import type { Life } from './machine.ts';

const NO_CONFIG = ModelConfig.fromPartial({});
const MEMORY_BYTES = 1_000;
const TIMINGS = { computeInputNs: 0, computeInferNs: 1, computeOutputNs: 0, batchRows: 1 };

export interface EngineOptions {
  readonly life: Life;
  /** Of one run. */
  readonly runMs: () => number;
  /** The request with that number has begun to run. */
  readonly onRun: (number: number) => void;
  readonly onStop: (engine: Engine) => void;
}

/** What `fetch` brings: where it lies is its manifest's hash. */
export function filesOf(model: string, version: number, manifestSha256: string): VersionFiles {
  return { model, version, folder: manifestSha256, configPbtxt: '', release() {} };
}

export class Engine implements LoadedModel {
  readonly model: string;
  readonly version: number;
  readonly manifestSha256: string;
  readonly inputs = [];
  readonly outputs = [];
  readonly maxBatchSize = 0;
  readonly instanceCount = 1;
  readonly memoryBytes = MEMORY_BYTES;
  readonly way = 'worker';
  state: ModelState = 'READY';
  readonly #options: EngineOptions;
  readonly #running = new Set<InferRequest>();
  #stopped: (() => void) | undefined;

  constructor(files: VersionFiles, options: EngineOptions) {
    this.model = files.model;
    this.version = files.version;
    this.manifestSha256 = files.folder;
    this.#options = options;
  }

  get engine(): never {
    throw new Error('a simulated node has no side threads');
  }

  get inFlight(): number {
    return this.#running.size;
  }

  leaveInline(): void {}

  submit(request: InferRequest): void {
    const { life, runMs, onRun } = this.#options;
    request.arrivedMs = life.nowMs();
    if (this.state !== 'READY') {
      request.fail(unavailable(`model '${this.model}' takes no more`));
      return;
    }
    const number = numberOfBytes(request.inputs[0]?.bytes ?? bytesOfNumber(-1));
    this.#running.add(request);
    onRun(number);
    life.after(runMs(), () => {
      if (!this.#running.delete(request)) return;
      request.succeed(outputsOf([contentOf(this.manifestSha256), number]));
      if (this.#running.size === 0) this.#stopped?.();
    });
  }

  /** What runs keeps its outcome. */
  cancel(): void {}

  async stop(): Promise<void> {
    this.state = 'STOPPING';
    this.#options.onStop(this);
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        this.#stopped = resolve;
      });
    }
    this.state = 'STOPPED';
  }
}

function outputsOf([content, number]: readonly [number, number]): RowOutputs {
  const whole: Tensor[] = [
    { name: 'content', datatype: 'INT64', shape: [1], bytes: bytesOfNumber(content) },
    { name: 'number', datatype: 'INT64', shape: [1], bytes: bytesOfNumber(number) },
  ];
  return {
    rows: 1,
    queueNs: 0,
    timings: TIMINGS,
    whole,
    start: () => 0,
    end: () => 8,
    tensors: () => whole,
  };
}

function modelConfig(name: string): ServedVersion['config'] {
  return { ...NO_CONFIG, name };
}

/** As server/load-version.ts, without files. */
export function servedOf(engine: Engine, { book }: LoadVersionOptions): ServedVersion {
  const { model, version } = engine;
  const statistics = book.of(model, version);
  statistics.pending = () => engine.inFlight;
  return {
    signature: signatureOf(model, version),
    config: modelConfig(model),
    loaded: engine,
    statistics,
    queueTimeout: { defaultUs: 0, allowsOverride: false },
    memoryBytes: engine.memoryBytes,
  };
}
