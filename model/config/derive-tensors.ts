// The inputs and outputs of a configuration beside those of the model: absent ones are filled in,
// stated ones are checked, and each complaint tells both sides.
import { shownName } from '../../common/names.ts';
import { invalidArgument, type StatusError } from '../../common/status.ts';
import { elementCount, type TensorSpec } from '../../common/tensor.ts';
import { ModelInput, ModelOutput } from '../../proto/gen/inference/model_config.ts';
import { dataTypeOf, datatypeOfConfig } from './datatypes.ts';

/** What a ModelInput and a ModelOutput have in common. */
type Stated = Pick<ModelInput & ModelOutput, 'name' | 'dataType' | 'dims' | 'reshape'>;

/** Every input of the model must be stated when one is: a request has to give them all. */
export function completeInputs(
  stated: readonly ModelInput[],
  own: readonly TensorSpec[],
  isBatched: boolean,
): ModelInput[] {
  if (stated.length === 0) {
    return own.map((spec) => ModelInput.fromPartial(derive(spec, isBatched)));
  }
  checkNames('input', stated, own);
  const missing = own.find((spec) => !stated.some((input) => input.name === spec.name));
  if (missing !== undefined) {
    throw invalidArgument(
      `config.pbtxt states ${names(stated)} as inputs, but the model also needs ` +
        `'${missing.name}': state all inputs, or none`,
    );
  }
  return stated.map((input) => ({ ...input, ...complete('input', input, own, isBatched) }));
}

/** Outputs that are not stated are not given out. */
export function completeOutputs(
  stated: readonly ModelOutput[],
  own: readonly TensorSpec[],
  isBatched: boolean,
): ModelOutput[] {
  if (stated.length === 0) {
    return own.map((spec) => ModelOutput.fromPartial(derive(spec, isBatched)));
  }
  checkNames('output', stated, own);
  return stated.map((output) => ({ ...output, ...complete('output', output, own, isBatched) }));
}

function names(tensors: readonly { readonly name: string }[]): string {
  const shown = tensors.slice(0, 10).map(({ name }) => `'${shownName(name)}'`);
  return shown.join(', ') + (tensors.length > 10 ? ', ...' : '');
}

function checkNames(side: string, stated: readonly Stated[], own: readonly TensorSpec[]): void {
  const seen = new Set<string>();
  for (const { name } of stated) {
    if (seen.has(name)) throw invalidArgument(`config.pbtxt states ${side} '${name}' twice`);
    seen.add(name);
    if (own.some((spec) => spec.name === name)) continue;
    throw invalidArgument(
      `config.pbtxt states ${side} '${shownName(name)}', but the model's ${side}s are ` +
        names(own),
    );
  }
}

/** A tensor without dimensions besides the batch is [1] to clients and reshaped, as in Triton. */
function derive(spec: TensorSpec, isBatched: boolean): Stated {
  const { name, datatype } = spec;
  const shape = spec.shape.slice(isBatched ? 1 : 0).map(BigInt);
  const dataType = dataTypeOf(datatype);
  if (shape.length > 0) return { name, dataType, dims: shape, reshape: undefined };
  return { name, dataType, dims: [1n], reshape: { shape: [] } };
}

function complete(
  side: string,
  stated: Stated,
  own: readonly TensorSpec[],
  isBatched: boolean,
): Stated {
  const { name } = stated;
  const spec = own.find((candidate) => candidate.name === name);
  if (spec === undefined) throw invalidArgument(`the model has no ${side} '${name}'`);
  const derived = derive(spec, isBatched);
  const datatype = datatypeOfConfig(stated.dataType) ?? spec.datatype;
  if (datatype !== spec.datatype) {
    throw invalidArgument(
      `config.pbtxt states ${side} '${name}' as ${datatype}, but the model has ${spec.datatype}`,
    );
  }
  if (stated.dims.length === 0) {
    if (stated.reshape === undefined) return derived;
    throw invalidArgument(`config.pbtxt reshapes ${side} '${name}' but states no dims for it`);
  }
  const { dims } = stated;
  if (dims.some((dim) => dim < -1n)) throw mismatch(side, stated, spec, isBatched);
  const shape = spec.shape.slice(isBatched ? 1 : 0);
  if (stated.reshape === undefined) {
    const fitted = narrow(dims, shape);
    if (fitted !== undefined) return { ...derived, dims: fitted, reshape: undefined };
    // [1] for a scalar is how Triton has them stated.
    if (shape.length === 0 && dims.length === 1 && dims[0] === 1n) return derived;
    throw mismatch(side, stated, spec, isBatched);
  }
  const fitted = narrow(stated.reshape.shape, shape);
  if (fitted === undefined) throw mismatch(side, stated, spec, isBatched);
  checkReshape(side, name, dims, fitted);
  return { ...derived, dims, reshape: { shape: fitted } };
}

/** Both sides joined, an open dimension giving way to a fixed one. Undefined: they contradict. */
function narrow(stated: readonly bigint[], own: readonly number[]): bigint[] | undefined {
  if (stated.length !== own.length) return undefined;
  const joined: bigint[] = [];
  for (const [index, dim] of stated.entries()) {
    const mine = BigInt(own[index] ?? -1);
    if (dim !== -1n && mine !== -1n && dim !== mine) return undefined;
    joined.push(dim === -1n ? mine : dim);
  }
  return joined;
}

function mismatch(side: string, stated: Stated, spec: TensorSpec, isBatched: boolean): StatusError {
  const { dims, reshape, name } = stated;
  const target = reshape === undefined ? '' : ` reshaped to [${reshape.shape.join(',')}]`;
  const batch = isBatched
    ? ', the first being the batch dimension, which dims leave out'
    : ' (max_batch_size is 0, so dims are whole)';
  return invalidArgument(
    `config.pbtxt states ${side} '${name}' with dims [${dims.join(',')}]${target}, but the model ` +
      `has [${spec.shape.join(',')}]${batch}`,
  );
}

/** Elements must stay the same: between each two open dimensions, and before and after them. */
function checkReshape(
  side: string,
  name: string,
  dims: readonly bigint[],
  shape: readonly bigint[],
): void {
  const [from, to] = [runs(dims), runs(shape)];
  if (from.length === to.length && from.every((count, index) => count === to[index])) return;
  throw invalidArgument(
    `config.pbtxt reshapes ${side} '${name}' from [${dims.join(',')}] to [${shape.join(',')}], ` +
      'which has not the same elements between open dimensions',
  );
}

/** [2,3,-1,4] is 6 elements, then 4. */
function runs(dims: readonly bigint[]): number[] {
  const counts: number[] = [];
  let run: number[] = [];
  for (const dim of dims) {
    if (dim !== -1n) run.push(Number(dim));
    else {
      counts.push(elementCount(run));
      run = [];
    }
  }
  return [...counts, elementCount(run)];
}
