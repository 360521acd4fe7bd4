import test from 'ava';
import fc from 'fast-check';
import { floats, GraphBuilder, int64s, tensorOf } from './graph.ts';
import { type OnnxSource, outlineOnnx } from './outline.ts';
import { readOnnx } from './reader.ts';

/** Counts what is read; gives it in pieces, as a file may. */
function sourceOf(bytes: Uint8Array) {
  let readBytes = 0;
  const source: OnnxSource = {
    sizeBytes: bytes.length,
    read(startByte, maxBytes) {
      const part = bytes.slice(startByte, startByte + maxBytes);
      readBytes += part.length;
      return Promise.resolve(part);
    },
  };
  return { source, readBytes: () => readBytes };
}

interface Shape {
  readonly weights: readonly number[];
  readonly nodes: number;
  readonly attribute: number;
}

/** A weight of each size, constants inside nodes, and tables in attributes. */
function modelOf({ weights, nodes, attribute }: Shape): Uint8Array {
  const graph = new GraphBuilder('g', { name: 'test', version: '1' });
  graph.input('x', 'FP32', ['batch', 4]);
  for (const [index, size] of weights.entries()) {
    graph.constant(floats(new Float32Array(size).fill(index)), `w${index}`);
  }
  let last = 'x';
  for (let index = 0; index < nodes; index++) {
    const tensor = tensorOf(
      [attribute],
      BigInt64Array.from({ length: attribute }, () => 7n),
    );
    const constant = graph.node('Constant', [], { attributes: { value: { tensor } } });
    last = graph.node('Where', [last, constant, 'x'], {
      attributes: { text: { string: 'é'.repeat(attribute) }, list: { ints: [1, 2, attribute] } },
    });
  }
  graph.constant(int64s([1, 2]), 'last');
  graph.output(last, 'FP32', ['batch', 4]);
  graph.metadata('labels', 'a'.repeat(attribute));
  return graph.write();
}

const shape = fc.record({
  weights: fc.array(fc.nat({ max: 5_000 }), { maxLength: 4 }),
  nodes: fc.integer({ min: 1, max: 5 }),
  attribute: fc.integer({ min: 0, max: 3_000 }),
});

test('the reader tells the same of an outline as of the whole file', async (t) => {
  const property = fc.asyncProperty(shape, async (one) => {
    const bytes = modelOf(one);
    const outline = await outlineOnnx(sourceOf(bytes).source);
    t.deepEqual(readOnnx(outline ?? new Uint8Array(0)), readOnnx(bytes));
  });
  await fc.assert(property, { numRuns: 100 });
});

test('large weights are neither read nor kept, wherever they stand', async (t) => {
  const bytes = modelOf({ weights: [2_000_000, 10, 1_000_000], nodes: 3, attribute: 300_000 });
  const { source, readBytes } = sourceOf(bytes);
  const outline = await outlineOnnx(source);
  t.true(bytes.length > 20e6);
  // The metadata and what lies around the fields are all that is left.
  t.true((outline?.length ?? Number.POSITIVE_INFINITY) < 310_000, `${outline?.length}`);
  t.true(readBytes() < 1e6, `${readBytes()} read`);
});

test('bytes that are no model have no outline, or one that the reader refuses', async (t) => {
  const model = modelOf({ weights: [3_000], nodes: 2, attribute: 2_000 });
  const damage = fc.oneof(
    fc.record({ kind: fc.constant('cut'), at: fc.nat({ max: model.length - 1 }) }),
    fc.record({ kind: fc.constant('change'), at: fc.nat({ max: model.length - 1 }) }),
  );
  const fails = (bytes: Uint8Array): string => {
    try {
      return JSON.stringify(readOnnx(bytes).outputs);
    } catch {
      return 'refused';
    }
  };
  const property = fc.asyncProperty(damage, fc.integer({ min: 1, max: 255 }), async (one, by) => {
    const bytes = one.kind === 'cut' ? model.slice(0, one.at) : Uint8Array.from(model);
    if (one.kind === 'change') bytes[one.at] = (bytes[one.at] ?? 0) ^ by;
    const outline = await outlineOnnx(sourceOf(bytes).source);
    const told = outline === undefined ? 'refused' : fails(outline);
    // What the whole file is refused for is never taken from its outline.
    if (fails(bytes) === 'refused') t.is(told, 'refused');
    else if (outline !== undefined) t.is(told, fails(bytes));
  });
  await fc.assert(property, { numRuns: 500 });
});
