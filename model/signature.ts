// What a model takes and gives: as its file declares it, and as clients see it once its
// configuration has had its say (batch dimension, reshapes, outputs left out).
import { shownName } from '../common/names.ts';
import { Code, invalidArgument, StatusError } from '../common/status.ts';
import type { Datatype, TensorSpec } from '../common/tensor.ts';
import type { ModelConfig, ModelTensorReshape } from '../proto/gen/inference/model_config.ts';
import { datatypeOfConfig } from './config/datatypes.ts';
import { elementTypeName } from './onnx/elements.ts';
import type { OnnxSummary, OnnxValue } from './onnx/reader.ts';

/** As the model's file declares it: the batch dimension included, -1 where open. */
export interface ModelSignature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** ONNX Runtime's binding for Node has no such tensors. */
const REFUSED: ReadonlySet<Datatype> = new Set(['BF16']);

/**
 * The signature of an ONNX file. `outputRanks`: the ranks, by name, that a trial run gave to
 * outputs which declare none; their dimensions are all open.
 * @throws UNIMPLEMENTED for what can't be served over the protocol, INVALID_ARGUMENT where the file
 * says too little.
 */
export function signatureOfOnnx(
  summary: Pick<OnnxSummary, 'inputs' | 'outputs'>,
  outputRanks: ReadonlyMap<string, number> = new Map(),
): ModelSignature {
  return {
    inputs: summary.inputs.map((value) => specOf('input', value, undefined)),
    outputs: summary.outputs.map((value) => specOf('output', value, outputRanks.get(value.name))),
  };
}

function specOf(side: 'input' | 'output', value: OnnxValue, rank: number | undefined): TensorSpec {
  const name = shownName(value.name);
  if (value.name.includes('\0')) {
    throw invalidArgument(
      `the name of ${side} ${JSON.stringify(name)} has a NUL in it, where ONNX Runtime takes it ` +
        'to end: rename it in the model',
    );
  }
  if (value.kind !== 'tensor') {
    const hint =
      value.kind === 'sequence' ? " (for scikit-learn models: option 'zipmap': False)" : '';
    throw new StatusError(
      Code.UNIMPLEMENTED,
      `${side} '${name}' is a ${value.kind}, not a tensor: export the model with tensor inputs ` +
        `and outputs${hint}`,
    );
  }
  const { datatype } = value;
  if (datatype === undefined || REFUSED.has(datatype)) {
    throw new StatusError(
      Code.UNIMPLEMENTED,
      `${side} '${name}' is ${elementTypeName(value.elementType)}, which can't be served: export ` +
        'the model with FLOAT or FLOAT16 there and cast inside',
    );
  }
  const shape = value.shape ?? (rank === undefined ? undefined : new Array<number>(rank).fill(-1));
  if (shape === undefined) {
    throw invalidArgument(
      `${side} '${name}' declares no shape: export the model with one, open dimensions are fine`,
    );
  }
  return { name: value.name, datatype, shape };
}

/** An input or output as clients see it. */
export interface ConfiguredTensor {
  /** Its place among the model's own inputs or outputs. */
  readonly index: number;
  /** With the batch dimension (-1) first where the model batches; -1 is open. */
  readonly spec: TensorSpec;
  /**
   * The shape that the model itself takes or gives, without the batch dimension, where it is
   * another; its -1s are, in order, the open dimensions of `spec`.
   */
  readonly reshape: readonly number[] | undefined;
  /** File with one class name a line, inside the version's folder; '' for none. */
  readonly labelFilename: string;
}

/** As clients see a model: what metadata tells and requests are checked against. */
export interface ConfiguredSignature {
  /** 0: no batch dimension of ours. */
  readonly maxBatchSize: number;
  readonly inputs: readonly ConfiguredTensor[];
  /** In the order of the config; the model may have more. */
  readonly outputs: readonly ConfiguredTensor[];
}

/** @param config a complete one (completeConfig made it from the same signature). */
export function configuredSignature(
  config: ModelConfig,
  signature: ModelSignature,
): ConfiguredSignature {
  const lead = config.maxBatchSize > 0 ? [-1] : [];
  const configure = (
    tensor: {
      name: string;
      dims: bigint[];
      reshape: ModelTensorReshape | undefined;
      dataType: ModelConfig['input'][number]['dataType'];
      labelFilename?: string;
    },
    own: readonly TensorSpec[],
  ): ConfiguredTensor => {
    const { name, dims, reshape, dataType, labelFilename = '' } = tensor;
    const index = own.findIndex((spec) => spec.name === name);
    const datatype = datatypeOfConfig(dataType);
    if (index < 0 || datatype === undefined) {
      throw new StatusError(Code.INTERNAL, `config of '${config.name}' is not complete: '${name}'`);
    }
    const spec = { name, datatype, shape: [...lead, ...dims.map(Number)] };
    return { index, spec, reshape: reshape?.shape.map(Number), labelFilename };
  };
  return {
    maxBatchSize: config.maxBatchSize,
    inputs: config.input.map((input) => configure(input, signature.inputs)),
    outputs: config.output.map((output) => configure(output, signature.outputs)),
  };
}
