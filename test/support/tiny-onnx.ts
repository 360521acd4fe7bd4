// Small ONNX models for tests of what serves them, each as a file's bytes.
import type { Datatype } from '../../common/tensor.ts';
import { floats, GraphBuilder, int64s, tensorOf } from '../../model/onnx/graph.ts';

/** y = x, of any datatype; `dims` with names for open dimensions. */
export function identityModel(datatype: Datatype, dims: readonly (number | string)[]): Uint8Array {
  const graph = new GraphBuilder('identity');
  graph.input('x', datatype, dims);
  graph.node('Identity', ['x'], { output: 'y' });
  graph.output('y', datatype, dims);
  return graph.write();
}

/** y_T = x_T for every datatype T of the list, each [rows, 2]. */
export function identitiesModel(datatypes: readonly Datatype[]): Uint8Array {
  const graph = new GraphBuilder('identities');
  for (const datatype of datatypes) graph.input(`x_${datatype}`, datatype, ['rows', 2]);
  for (const datatype of datatypes) {
    graph.node('Identity', [`x_${datatype}`], { output: `y_${datatype}` });
    graph.output(`y_${datatype}`, datatype, ['rows', 2]);
  }
  return graph.write();
}

/** sum = a + b, FP32 [batch, width]. */
export function addModel(width: number): Uint8Array {
  const graph = new GraphBuilder('add');
  graph.input('a', 'FP32', ['batch', width]);
  graph.input('b', 'FP32', ['batch', width]);
  graph.node('Add', ['a', 'b'], { output: 'sum' });
  graph.output('sum', 'FP32', ['batch', width]);
  return graph.write();
}

/** y = relu(x w1) w2, FP32 [batch, 16] -> [batch, 4], with weights that are the same each time. */
export function mlpModel(): Uint8Array {
  const graph = new GraphBuilder('mlp');
  graph.input('x', 'FP32', ['batch', 16]);
  const weights = (rows: number, columns: number) =>
    graph.constant(
      floats(
        Array.from({ length: rows * columns }, (_, i) => Math.sin(i + rows)),
        [rows, columns],
      ),
    );
  const hidden = graph.node('Relu', [graph.node('MatMul', ['x', weights(16, 32)])]);
  graph.node('MatMul', [hidden, weights(32, 4)], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 4]);
  return graph.write();
}

/**
 * y = x plus a sum that depends on `steps` products of n x n matrices, so that a run takes as long
 * as wanted: FP32 [batch, 1] -> [batch, 1].
 */
export function slowModel(steps: number, n = 256): Uint8Array {
  const graph = new GraphBuilder('slow');
  graph.input('x', 'FP32', ['batch', 1]);
  const square = graph.constant(floats(new Float32Array(n * n).fill(1 / n), [n, n]));
  // Depends on the input, or the runtime would compute it once, at load.
  const zero = graph.node('Mul', ['x', graph.constant(floats([0], [1, 1]))]);
  const scalar = graph.node('ReduceSum', [zero], { attributes: { keepdims: { int: 0 } } });
  let state = graph.node('Add', [square, scalar]);
  for (let i = 0; i < steps; i++) state = graph.node('MatMul', [state, square]);
  const total = graph.node('ReduceMean', [state], { attributes: { keepdims: { int: 0 } } });
  graph.node('Add', ['x', total], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 1]);
  return graph.write();
}

/**
 * Picks rows of a table of `size` floats, counted from `first`: an index outside makes the run
 * fail.
 */
export function gatherModel(size: number, first = 0): Uint8Array {
  const graph = new GraphBuilder('gather');
  graph.input('index', 'INT64', ['batch', 1]);
  const offset = graph.constant(int64s([first]));
  const at = graph.node('Sub', ['index', offset]);
  const table = graph.constant(floats(Array.from({ length: size }, (_, i) => i * 10)));
  graph.node('Gather', [table, at], { output: 'value' });
  graph.output('value', 'FP32', ['batch', 1]);
  return graph.write();
}

/** Adds up a whole batch: its output has one row whatever the batch has. */
export function sumOfAllModel(): Uint8Array {
  const graph = new GraphBuilder('sum');
  graph.input('x', 'FP32', ['batch', 2]);
  graph.node('ReduceSum', ['x', graph.constant(int64s([0]))], { output: 'y' });
  graph.output('y', 'FP32', [1, 2]);
  return graph.write();
}

/** y = x repeated `times` times: an output larger than its input. */
export function repeatModel(times: number): Uint8Array {
  const graph = new GraphBuilder('repeat');
  graph.input('x', 'UINT8', ['batch', 'width']);
  const repeats = graph.constant(tensorOf([2], BigInt64Array.of(1n, BigInt(times))));
  graph.node('Tile', ['x', repeats], { output: 'y' });
  graph.output('y', 'UINT8', ['batch', 'wider']);
  return graph.write();
}

/** Its weights are said to be in a file of their own, which is not made here. */
export function externalDataModel(location: string): Uint8Array {
  const entry = (key: string, value: string) => [...bytesField(1, key), ...bytesField(2, value)];
  // TensorProto: dims 1, data_type 2 (FLOAT), name 8, external_data 13, data_location 14
  // (EXTERNAL).
  const weights = [8, 2, 16, 1, ...bytesField(8, 'w')];
  weights.push(...bytesField(13, entry('location', location)), 14 << 3, 1);
  const graph = new GraphBuilder('external');
  graph.input('x', 'FP32', ['batch', 2]);
  graph.input('w', 'FP32', [2]);
  graph.output(graph.node('Add', ['x', 'w'], { output: 'y' }), 'FP32', ['batch', 2]);
  // Fields may come in pieces: a second graph field is merged into the first.
  return Uint8Array.of(...graph.write(), ...bytesField(7, bytesField(5, weights)));
}

function bytesField(field: number, value: string | readonly number[]): number[] {
  const bytes = typeof value === 'string' ? [...new TextEncoder().encode(value)] : value;
  return [(field << 3) | 2, bytes.length, ...bytes];
}

/** An operator that no runtime has. */
export function unknownOperatorModel(): Uint8Array {
  const graph = new GraphBuilder('unknown');
  graph.input('x', 'FP32', ['batch', 2]);
  graph.node('NoSuchOperator', ['x'], { output: 'y' });
  graph.output('y', 'FP32', ['batch', 2]);
  return graph.write();
}

/**
 * A run takes seconds for an input in the thousands, and hardly any time for zero: x is the side of
 * `steps` square matrices that are multiplied. INT64 [1] -> FP32 [1], no batching.
 */
export function endlessModel(steps: number): Uint8Array {
  const graph = new GraphBuilder('endless');
  graph.input('x', 'INT64', [1]);
  const side = graph.node('Concat', ['x', 'x'], { attributes: { axis: { int: 0 } } });
  const square = graph.node('ConstantOfShape', [side]);
  let state = square;
  for (let i = 0; i < steps; i++) state = graph.node('MatMul', [state, square]);
  const total = graph.node('ReduceSum', [state], { attributes: { keepdims: { int: 0 } } });
  graph.node('Reshape', [total, graph.constant(int64s([1]))], { output: 'y' });
  graph.output('y', 'FP32', [1]);
  return graph.write();
}
