import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../../common/status.ts';
import type { Datatype } from '../../common/tensor.ts';
import { Fields } from './fields.ts';
import { floats, GraphBuilder, int64s } from './graph.ts';
import { MAX_GRAPH_DEPTH, readOnnx } from './reader.ts';

const DATATYPES: Datatype[] = ['FP32', 'INT64', 'BYTES', 'BOOL', 'FP16', 'BF16', 'UINT8'];

const value = fc.record({
  datatype: fc.constantFrom(...DATATYPES),
  dims: fc.array(fc.oneof(fc.nat({ max: 2 ** 40 }), fc.stringMatching(/^[a-z]{1,8}$/)), {
    maxLength: 6,
  }),
});

/** Inputs go straight through to the outputs, so any signature is a consistent model. */
function passThrough(values: readonly { datatype: Datatype; dims: (number | string)[] }[]) {
  const graph = new GraphBuilder('pass', { name: 'test', version: '1.5' });
  for (const [index, { datatype, dims }] of values.entries()) {
    const input = graph.input(`in${index}`, datatype, dims);
    const output = graph.node('Identity', [input], { output: `out${index}` });
    graph.output(output, datatype, dims);
  }
  graph.constant(floats([1, 2, 3]), 'weights');
  graph.metadata('labels', 'a,b');
  return graph.write();
}

test('what the writer wrote, the reader reads', (t) => {
  const property = fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (values) => {
    const summary = readOnnx(passThrough(values));
    for (const [index, { datatype, dims }] of values.entries()) {
      const expected = {
        datatype,
        shape: dims.map((dim) => (typeof dim === 'number' ? dim : -1)),
        dimNames: dims.map((dim) => (typeof dim === 'number' ? '' : dim)),
      };
      const { name, datatype: read, shape, dimNames } = summary.inputs[index] ?? {};
      t.deepEqual({ name, datatype: read, shape, dimNames }, { name: `in${index}`, ...expected });
      t.deepEqual(summary.outputs[index]?.shape, expected.shape);
    }
    t.deepEqual(summary.operators, [{ domain: '', type: 'Identity', count: values.length }]);
  });
  fc.assert(property, { numRuns: 200 });
});

test('producer, opsets, initializers and metadata are told', (t) => {
  const summary = readOnnx(passThrough([{ datatype: 'FP32', dims: ['batch'] }]));
  t.is(summary.irVersion, 8);
  t.deepEqual(
    [...summary.opsets],
    [
      ['', 18],
      ['ai.onnx.ml', 3],
    ],
  );
  t.deepEqual(summary.producer, { name: 'test', version: '1.5' });
  t.is(summary.graphName, 'pass');
  t.deepEqual([...summary.metadata], [['labels', 'a,b']]);
  const weights = { name: 'weights', elementType: 1, dims: [3], isExternal: false };
  t.deepEqual(summary.initializers, [weights]);
  t.deepEqual(summary.externalFiles, []);
});

/** One protobuf message from its fields: text and nested messages as bytes, numbers as varints. */
function message(...fields: [number, string | number | Uint8Array][]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, content] of fields) {
    if (typeof content === 'number') writer.tag(number, WireType.Varint).int64(content);
    else if (typeof content === 'string')
      writer.tag(number, WireType.LengthDelimited).string(content);
    else writer.tag(number, WireType.LengthDelimited).bytes(content);
  }
  return writer.finish();
}

const floatType = message([1, message([1, 1], [2, message([1, message([1, 2])])])]);
const output: [number, Uint8Array] = [12, message([1, 'y'], [2, floatType])];

function modelOf(...graphFields: [number, string | number | Uint8Array][]): Uint8Array {
  return message([1, 8], [7, message(...graphFields, output)]);
}

test('an initializer that is also an input is no input', (t) => {
  const summary = readOnnx(
    modelOf(
      [5, message([1, 2], [2, 1], [8, 'w'])],
      [11, message([1, 'w'], [2, floatType])],
      [11, message([1, 'x'], [2, floatType])],
    ),
  );
  t.deepEqual(
    summary.inputs.map((input) => input.name),
    ['x'],
  );
});

function externalTensor(location: string, offset = '0', length = '8'): Uint8Array {
  const entry = (key: string, text: string) => message([1, key], [2, text]);
  return message(
    [8, 'w'],
    [13, entry('location', location)],
    [13, entry('offset', offset)],
    [13, entry('length', length)],
    [14, 1],
  );
}

test('files beside the model are found in initializers and deep in attributes', (t) => {
  const constant = message(
    [4, 'Constant'],
    [5, message([1, 'value'], [5, externalTensor('c.bin')])],
  );
  const branch = message([1, constant]);
  const conditional = message([4, 'If'], [5, message([1, 'then_branch'], [6, branch])]);
  const summary = readOnnx(
    modelOf(
      [5, externalTensor('w.bin', '4096', '100')],
      [5, externalTensor('w.bin', '0', '4096')],
      [1, conditional],
    ),
  );
  t.deepEqual(summary.externalFiles, [
    { path: 'w.bin', minSizeBytes: 4196 },
    { path: 'c.bin', minSizeBytes: 8 },
  ]);
  t.true(summary.initializers[0]?.isExternal);
  t.deepEqual(
    summary.operators.map((operator) => operator.type),
    ['Constant', 'If'],
  );
});

test('data outside the folder and senseless ranges are refused', (t) => {
  for (const location of ['../w.bin', '/etc/passwd', '', 'a/../../b', 'a\\b']) {
    const error = t.throws(() => readOnnx(modelOf([5, externalTensor(location)])), {
      instanceOf: StatusError,
      message: /no plain path inside the model's folder/,
    });
    t.is(error.code, Code.INVALID_ARGUMENT);
  }
  for (const [offset, length] of [
    ['-1', '8'],
    ['x', '8'],
    ['0', '1e300'],
    ['0', 'Infinity'],
  ]) {
    t.throws(() => readOnnx(modelOf([5, externalTensor('w.bin', offset, length)])), {
      message: /no valid offset and length/,
    });
  }
});

test('types that are no tensors, shapes without rank and unknown element types are told', (t) => {
  const sequence = message([4, message([1, floatType])]);
  const rankless = message([1, message([1, 999])]);
  const summary = readOnnx(
    modelOf([12, message([1, 's'], [2, sequence])], [12, message([1, 'r'], [2, rankless])]),
  );
  t.like(summary.outputs[0], { name: 's', kind: 'sequence', shape: undefined });
  t.like(summary.outputs[1], {
    name: 'r',
    kind: 'tensor',
    elementType: 999,
    datatype: undefined,
    shape: undefined,
  });
});

function nested(depth: number): Uint8Array {
  const node = message([4, 'If'], ...(depth > 0 ? [attribute(depth)] : []));
  return message([1, node]);
}

function attribute(depth: number): [number, Uint8Array] {
  return [5, message([6, nested(depth - 1)])];
}

test('what is no model is refused with its reason', (t) => {
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /no graph/],
    [message([1, 8]), /no graph/],
    [message([7, message(output)]), /no IR version/],
    [message([1, 8], [7, message()]), /no outputs/],
    [message([1, 8], [7, message(output)], [7, message(output)]), /two graphs/],
    [modelOf([1, message([1, 'x'])]), /no operator type/],
    [modelOf([12, message([1, 'z'])]), /'z' has no type/],
    [modelOf([2, Uint8Array.of(0xff)]), /not valid UTF-8/],
    [
      modelOf([5, message(...Array.from({ length: 65 }, () => [1, 1] as [number, number]))]),
      /over 64/,
    ],
    [message([1, 'eight'], [7, message(output)]), /wire type 2 where an integer belongs/],
    [new TextEncoder().encode('<html>not a model</html>'), /./],
    // A length of nearly 4 GiB in a file of a few bytes.
    [Uint8Array.of(8, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1), /./],
    [message([1, 8], [7, nested(MAX_GRAPH_DEPTH + 1)]), /nest over/],
  ];
  for (const [bytes, message] of cases) {
    const error = t.throws(() => readOnnx(bytes), { instanceOf: StatusError, message });
    t.is(error.code, Code.INVALID_ARGUMENT);
  }
});

test('the work that a file can ask for is bounded', (t) => {
  const bytes = message([5, message()], [5, message()]);
  const count = (left: number) => {
    const fields = new Fields(bytes, '', { left });
    for (let seen = 0; ; seen++) {
      if (!fields.next()) return seen;
      fields.message('child');
    }
  };
  t.is(count(20), 2);
  t.throws(() => count(10), { instanceOf: StatusError, message: /more than 100000000 fields/ });
});

function onlyStatusErrors(bytes: Uint8Array): boolean {
  try {
    readOnnx(bytes);
    return true;
  } catch (error) {
    return error instanceof StatusError && error.code === Code.INVALID_ARGUMENT;
  }
}

test('random bytes are only ever INVALID_ARGUMENT', (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), onlyStatusErrors), { numRuns: 2_000 });
  t.pass();
});

test('a valid file with bytes changed, cut or inserted is read or INVALID_ARGUMENT', (t) => {
  const valid = passThrough([
    { datatype: 'FP32', dims: ['batch', 4] },
    { datatype: 'BYTES', dims: [2] },
  ]);
  const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 5 });
  const property = fc.property(edits, fc.nat(valid.length), fc.boolean(), (bytes, cut, isCut) => {
    const changed = valid.slice(0, isCut ? cut : valid.length);
    for (const [at, byte] of bytes) if (at < changed.length) changed[at] = byte;
    return onlyStatusErrors(changed);
  });
  fc.assert(property, { numRuns: 3_000 });
  for (let length = 0; length < valid.length; length++) {
    if (!onlyStatusErrors(valid.subarray(0, length))) t.fail(`cut at ${length}`);
  }
  t.pass();
});

test('weights are not copied: reading a model of 64 MiB takes no memory for them', (t) => {
  const graph = new GraphBuilder('big');
  const x = graph.input('x', 'FP32', ['batch', 4096]);
  const weights = graph.constant(floats(new Float32Array(4096 * 4096), [4096, 4096]));
  graph.node('MatMul', [x, weights], { output: 'y' });
  graph.node('Reshape', ['y', graph.constant(int64s([-1]))]);
  graph.output('y', 'FP32', ['batch', 4096]);
  const bytes = graph.write();
  const before = process.memoryUsage();
  const summary = readOnnx(bytes);
  const after = process.memoryUsage();
  t.is(summary.initializers.length, 2);
  const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
  t.true(grown < 8 * 1024 * 1024, `grew by ${grown} bytes`);
});
