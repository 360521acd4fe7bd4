// Everything that is checked of an ONNX model before it may be published. It runs in the child
// process of verify.ts, because native code reads a file that nobody vouches for.
import '../../common/no-telemetry.ts';
import { lstat, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { InferenceSession } from 'onnxruntime-node';
import { invalidArgument, StatusError } from '../../common/status.ts';
import { completeConfig } from '../../model/config/derive.ts';
import { parseConfig } from '../../model/config/pbtxt.ts';
import { type OnnxSummary, readOnnx } from '../../model/onnx/reader.ts';
import {
  type ConfiguredSignature,
  configuredSignature,
  type ModelSignature,
  signatureOfOnnx,
} from '../../model/signature.ts';
import { unbatchedConfig } from './unbatched-config.ts';
import { GUESSED_SIZES, MAX_TRIAL_ELEMENTS, trialShape, zeros } from './zero-inputs.ts';

type Ort = typeof import('onnxruntime-node');

export interface InspectRequest {
  readonly model: string;
  /** The ONNX file; its data files lie beside it. */
  readonly modelPath: string;
  /** Text of config.pbtxt, '' for none. */
  readonly configPbtxt: string;
}

export interface Inspection {
  readonly signature: ModelSignature;
  /** As given; or written here, where the model turned out not to batch and nobody said so. */
  readonly configPbtxt: string;
  readonly maxBatchSize: number;
  /** How long one row took, after the first run; undefined: no trial run succeeded. */
  readonly trialRunMs: number | undefined;
  /** What its owner ought to know; '' for nothing. */
  readonly note: string;
}

/** Longest reason of ONNX Runtime that is passed on. */
const MAX_REASON_CHARACTERS = 1_000;

/** @throws INVALID_ARGUMENT or UNIMPLEMENTED with the reason. */
export async function inspectModel(request: InspectRequest): Promise<Inspection> {
  const summary = readOnnx(await readFile(request.modelPath));
  await checkExternalFiles(request.modelPath, summary);
  // With it the package would make FP16 tensors that its own native part can't read.
  Reflect.deleteProperty(globalThis, 'Float16Array');
  const ort = await import('onnxruntime-node');
  const session = await loadSession(ort, request.modelPath);
  try {
    return await new Trial(ort, session, request).inspect(summary);
  } finally {
    await session.release();
  }
}

async function checkExternalFiles(modelPath: string, summary: OnnxSummary): Promise<void> {
  for (const { path, minSizeBytes } of summary.externalFiles) {
    const info = await lstat(join(dirname(modelPath), path)).catch(() => undefined);
    if (info?.isFile() !== true) {
      throw invalidArgument(`the model keeps tensors in '${path}', which is not beside it`);
    }
    if (info.size < minSizeBytes) {
      throw invalidArgument(
        `the model's data file '${path}' has ${info.size} bytes, but tensors lie in its first ` +
          `${minSizeBytes}: it is cut off, or belongs to another model`,
      );
    }
  }
}

async function loadSession(ort: Ort, modelPath: string): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(modelPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
    });
  } catch (error) {
    throw invalidArgument(`ONNX Runtime can't load the model: ${reasonOf(error, modelPath)}`);
  }
}

/** Without the folder, which is nobody's business. */
function reasonOf(error: unknown, modelPath: string): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(`${dirname(modelPath)}/`, '').slice(0, MAX_REASON_CHARACTERS);
}

type Outputs = InferenceSession.OnnxValueMapType;

class Trial {
  readonly #ort: Ort;
  readonly #session: InferenceSession;
  readonly #request: InspectRequest;
  readonly #types: ReadonlyMap<string, string>;

  constructor(ort: Ort, session: InferenceSession, request: InspectRequest) {
    this.#ort = ort;
    this.#session = session;
    this.#request = request;
    const tensors = session.inputMetadata.filter((value) => value.isTensor);
    this.#types = new Map(tensors.map((value) => [value.name, value.type]));
  }

  async inspect(summary: OnnxSummary): Promise<Inspection> {
    const { configPbtxt, model } = this.#request;
    const stated = configPbtxt === '' ? undefined : parseConfig(configPbtxt);
    const signature = signatureOfOnnx(summary, await this.#outputRanks(summary));
    const config = completeConfig(stated, signature, model);
    const configured = configuredSignature(config, signature);
    const { maxBatchSize } = configured;
    const tried = await this.#firstRun(configured);
    if ('note' in tried) {
      return { signature, configPbtxt, maxBatchSize, trialRunMs: undefined, note: tried.note };
    }
    this.#checkDeclared(signature, tried.outputs);
    const { guess, trialRunMs } = tried;
    const obstacle =
      maxBatchSize > 1 ? await this.#batchObstacle(configured, guess, tried.outputs) : undefined;
    if (obstacle === undefined) {
      return { signature, configPbtxt, maxBatchSize, trialRunMs, note: '' };
    }
    if (stated !== undefined && stated.maxBatchSize > 0) {
      throw invalidArgument(
        `config.pbtxt says max_batch_size ${maxBatchSize}, but the model can't batch: ${obstacle}`,
      );
    }
    const note = `served without batching: ${obstacle}`;
    const written = unbatchedConfig(configPbtxt, stated, signature, note);
    // Must hold as it will be read when the model is loaded.
    completeConfig(parseConfig(written), signature, model);
    return { signature, configPbtxt: written, maxBatchSize: 0, trialRunMs, note };
  }

  /** Ranks of outputs that declare none, as a run gives them. */
  async #outputRanks(summary: OnnxSummary): Promise<Map<string, number>> {
    const unknown = summary.outputs.filter(({ kind, shape }) => kind === 'tensor' && !shape);
    if (unknown.length === 0) return new Map();
    const { inputs } = signatureOfOnnx({ inputs: summary.inputs, outputs: [] });
    const tensors = inputs.map((spec, index) => ({
      index,
      spec,
      reshape: undefined,
      labelFilename: '',
    }));
    const tried = await this.#firstRun({ maxBatchSize: 0, inputs: tensors, outputs: [] });
    if ('note' in tried) return new Map();
    return new Map(unknown.map(({ name }) => [name, dimsOf(tried.outputs, name).length]));
  }

  /**
   * A run of one row. Where dimensions are open their sizes are guessed, and texts are empty: that
   * such a run fails proves nothing, so it is a note. With everything fixed it is an error.
   */
  async #firstRun(
    configured: ConfiguredSignature,
  ): Promise<{ guess: number; outputs: Outputs; trialRunMs: number } | { note: string }> {
    const { maxBatchSize, inputs } = configured;
    const isGuessed = inputs.some((input) => trialShape(input, maxBatchSize, 1, -1).includes(-1));
    let reason = '';
    for (const guess of isGuessed ? GUESSED_SIZES : [1]) {
      try {
        await this.#run(configured, 1, guess);
        const startMs = performance.now();
        const outputs = await this.#run(configured, 1, guess);
        return { guess, outputs, trialRunMs: performance.now() - startMs };
      } catch (error) {
        if (error instanceof StatusError) throw error;
        reason ||= reasonOf(error, this.#request.modelPath);
      }
    }
    const hasTexts = inputs.some(({ spec }) => spec.datatype === 'BYTES');
    if (!isGuessed && !hasTexts) {
      throw invalidArgument(`the model fails when it is run on zeros: ${reason}`);
    }
    return { note: `not tried: no input is known that it takes (${reason})` };
  }

  async #run(configured: ConfiguredSignature, rows: number, guess: number): Promise<Outputs> {
    const feeds: Record<string, InstanceType<Ort['Tensor']>> = {};
    for (const input of configured.inputs) {
      const shape = trialShape(input, configured.maxBatchSize, rows, guess);
      const count = shape.reduce((product, dim) => product * dim, 1);
      const { name } = input.spec;
      if (count > MAX_TRIAL_ELEMENTS && guess !== GUESSED_SIZES[0]) {
        throw new Error(`input '${name}' would have ${count} elements`);
      }
      const tensor = zeros(this.#ort, this.#types.get(name) ?? '', shape);
      if (tensor === undefined) throw invalidArgument(`input '${name}' has a type without zeros`);
      feeds[name] = tensor;
    }
    return await this.#session.run(feeds, { logSeverityLevel: 4 });
  }

  /** What a run gave must be what the file declares, or answers would not fit their metadata. */
  #checkDeclared(signature: ModelSignature, outputs: Outputs): void {
    for (const { name, shape } of signature.outputs) {
      const dims = dimsOf(outputs, name);
      const fits =
        dims.length === shape.length && shape.every((dim, at) => dim < 0 || dim === dims[at]);
      if (fits) continue;
      throw invalidArgument(
        `output '${name}' is declared as [${shape.join(',')}], but a run gave ` +
          `[${dims.join(',')}]: export the model with the right shape, or an open one`,
      );
    }
  }

  /** Why two rows don't come out as two rows; undefined: they do. */
  async #batchObstacle(
    configured: ConfiguredSignature,
    guess: number,
    single: Outputs,
  ): Promise<string | undefined> {
    let outputs: Outputs;
    try {
      outputs = await this.#run(configured, 2, guess);
    } catch (error) {
      return `a run of two rows fails: ${reasonOf(error, this.#request.modelPath)}`;
    }
    for (const { spec } of configured.outputs) {
      const [one, two] = [dimsOf(single, spec.name), dimsOf(outputs, spec.name)];
      if (one[0] !== 1 || two[0] !== 2) {
        return (
          `of 1 and 2 rows, output '${spec.name}' has shape [${one.join(',')}] and ` +
          `[${two.join(',')}]`
        );
      }
    }
    return undefined;
  }
}

function dimsOf(outputs: Outputs, name: string): readonly number[] {
  const value = outputs[name];
  return value !== undefined && 'dims' in value ? value.dims : [];
}
