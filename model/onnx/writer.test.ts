import test from 'ava';
import '../../common/no-telemetry.ts';
import ort from 'onnxruntime-node';
import { StatusError } from '../../common/status.ts';
import {
  conv,
  dense,
  floats,
  GraphBuilder,
  int64s,
  kernelToOihw,
  softmax,
  tensorOf,
} from './graph.ts';

async function run(
  graph: GraphBuilder,
  feeds: Record<string, ort.Tensor>,
): Promise<ort.InferenceSession.OnnxValueMapType> {
  const session = await ort.InferenceSession.create(graph.write(), { intraOpNumThreads: 1 });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

function numbers(value: ort.OnnxValue | undefined): number[] {
  if (!(value instanceof ort.Tensor)) throw new Error('no such output');
  return Array.from(value.data as Float32Array, Number);
}

test('a dense layer with softmax gives the numbers worked out by hand', async (t) => {
  const graph = new GraphBuilder('net');
  const x = graph.input('x', 'FP32', ['batch', 2]);
  const hidden = dense(graph, x, floats([1, -1, 0, 2, 1, 1], [2, 3]), floats([0, 0.5, -10]));
  const relu = graph.node('Relu', [hidden], { output: 'hidden' });
  softmax(graph, relu, 'probabilities');
  graph.output('hidden', 'FP32', ['batch', 3]);
  graph.output('probabilities', 'FP32', ['batch', 3]);
  const x2 = new ort.Tensor('float32', Float32Array.of(1, 2, 0, 1), [2, 2]);
  const answer = await run(graph, { x: x2 });
  t.deepEqual(numbers(answer.hidden), [5, 1.5, 0, 2, 1.5, 0]);
  const sums = Math.exp(5) + Math.exp(1.5) + 1;
  const [first = 0] = numbers(answer.probabilities);
  t.true(Math.abs(first - Math.exp(5) / sums) < 1e-6);
});

test('a convolution with a kernel in TensorFlow order gives the right sums', async (t) => {
  const graph = new GraphBuilder('conv');
  const x = graph.input('x', 'FP32', ['batch', 1, 2, 2]);
  // HWIO 2x2x1x1: the sum of each patch weighted 1, 2, 3, 4.
  const kernel = kernelToOihw(Float32Array.of(1, 2, 3, 4), [2, 2, 1, 1]);
  const y = conv(graph, x, kernel, floats([10]), { strides: [1, 1], padding: 'SAME_UPPER' });
  graph.output(y, 'FP32', ['batch', 1, 2, 2]);
  const image = new ort.Tensor('float32', Float32Array.of(1, 1, 1, 1), [1, 1, 2, 2]);
  t.deepEqual(numbers((await run(graph, { x: image }))[y]), [20, 14, 13, 11]);
});

test('kernelToOihw moves every weight to its place', (t) => {
  const hwio = Float32Array.from({ length: 2 * 3 * 2 * 2 }, (_, index) => index);
  const tensor = kernelToOihw(hwio, [2, 3, 2, 2]);
  t.deepEqual(tensor.dims, [2, 2, 2, 3]);
  const at = (y: number, x: number, i: number, o: number) => ((y * 3 + x) * 2 + i) * 2 + o;
  const moved = 'bytes' in tensor ? new Float32Array(tensor.bytes.slice().buffer) : [];
  t.is(moved[((1 * 2 + 0) * 2 + 1) * 3 + 2], at(1, 2, 0, 1));
  t.is(moved[((0 * 2 + 1) * 2 + 0) * 3 + 1], at(0, 1, 1, 0));
});

test('strings, int64, imputation and ai.onnx.ml operators run in ONNX Runtime', async (t) => {
  const graph = new GraphBuilder('columns');
  const species = graph.input('species', 'BYTES', ['batch', 1]);
  const mass = graph.input('mass', 'FP32', ['batch', 1]);
  const known = { cats_strings: { strings: ['Adelie', 'Gentoo'] }, zeros: { int: 1 } };
  const hot = graph.node('OneHotEncoder', [species], { domain: 'ai.onnx.ml', attributes: known });
  const flat = graph.node('Reshape', [hot, graph.constant(int64s([-1, 2]))]);
  const imputed = graph.node('Imputer', [mass], {
    domain: 'ai.onnx.ml',
    attributes: { imputed_value_floats: { floats: [7] }, replaced_value_float: { float: NaN } },
  });
  const row = graph.node('Concat', [flat, imputed], { attributes: { axis: { int: 1 } } });
  const best = graph.node('ArgMax', [row], {
    attributes: { axis: { int: 1 }, keepdims: { int: 0 } },
  });
  const labels = graph.constant(tensorOf([3], ['adélie', 'gentoo', 'mass']));
  graph.node('Gather', [labels, best], { output: 'label' });
  graph.node('Identity', [row], { output: 'row' });
  graph.output('label', 'BYTES', ['batch']);
  graph.output('row', 'FP32', ['batch', 3]);
  const answer = await run(graph, {
    species: new ort.Tensor('string', ['Adelie', 'unknown'], [2, 1]),
    mass: new ort.Tensor('float32', Float32Array.of(0.5, Number.NaN), [2, 1]),
  });
  t.deepEqual(numbers(answer.row), [1, 0, 0.5, 0, 0, 7]);
  t.true(answer.label instanceof ort.Tensor);
  if (answer.label instanceof ort.Tensor) t.deepEqual(answer.label.data, ['adélie', 'mass']);
});

test('every fixed-size datatype and a tensor attribute come through', async (t) => {
  const graph = new GraphBuilder('casts');
  const x = graph.input('x', 'FP32', ['n']);
  const arrays = [
    Float64Array.of(3),
    Int8Array.of(3),
    Int16Array.of(3),
    Int32Array.of(3),
    BigInt64Array.of(3n),
    Uint8Array.of(3),
    Uint16Array.of(3),
    Uint32Array.of(3),
    BigUint64Array.of(3n),
  ];
  let sum = graph.node('ConstantOfShape', [graph.node('Shape', [x])], {
    attributes: { value: { tensor: floats([100]) } },
  });
  for (const array of arrays) {
    const cast = graph.node('Cast', [graph.constant(tensorOf([1], array))], {
      attributes: { to: { int: 1 } },
    });
    sum = graph.node('Add', [sum, cast]);
  }
  graph.nodes('Identity', [sum], ['y']);
  graph.output('y', 'FP32', ['n']);
  const answer = await run(graph, { x: new ort.Tensor('float32', new Float32Array(2), [2]) });
  t.deepEqual(numbers(answer.y), [127, 127]);
});

test('a model that contradicts itself is refused', (t) => {
  const refuses = (build: (graph: GraphBuilder) => void, message: RegExp) => {
    const graph = new GraphBuilder('bad');
    const write = () => {
      build(graph);
      return graph.write();
    };
    t.throws(write, { instanceOf: StatusError, message });
  };
  refuses((graph) => graph.output('y', 'FP32', [1]), /'y' is not made/);
  refuses((graph) => graph.node('Relu', ['x']), /uses 'x' before/);
  refuses((graph) => graph.constant(floats([1, 2], [3])), /needs 12 bytes, got 8/);
  refuses((graph) => graph.constant(tensorOf([2], ['a'])), /needs 2 strings, got 1/);
  refuses((graph) => {
    graph.constant(floats([1]), 'w');
    graph.constant(floats([2]), 'w');
  }, /'w' is made twice/);
  refuses((graph) => {
    graph.input('x', 'FP32', [1]);
    graph.nodes('Relu', ['x'], ['x']);
  }, /'x' is made twice/);
});
