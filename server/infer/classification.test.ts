import test from 'ava';
import { StatusError } from '../../common/status.ts';
import type { Datatype } from '../../common/tensor.ts';
import { checkClassifiable, classify, encodeStrings } from './classification.ts';

function tensor(datatype: Datatype, shape: readonly number[], data: ArrayBufferView) {
  return { name: 'out', datatype, shape, bytes: new Uint8Array(data.buffer) };
}

test('the top classes of each row, biggest first, with labels where there are any', (t) => {
  const values = new Float32Array([0.1, 0.7, 0.2, 0.5, Number.NaN, 0.5]);
  const top = classify(tensor('FP32', [2, 3], values), 2, ['ant', 'bee'], true);
  t.is(top.datatype, 'BYTES');
  t.deepEqual(top.shape, [2, 2]);
  const expected = ['0.700000:1:bee', '0.200000:2', '0.500000:0:ant', '0.500000:2'];
  t.deepEqual(top.bytes, encodeStrings(expected));
});

test('integers print whole; k is bounded by the number of classes', (t) => {
  const values = new BigInt64Array([5n, 2n ** 60n]);
  const top = classify(tensor('INT64', [2], values), 9, [], false);
  t.deepEqual(top.shape, [2]);
  t.deepEqual(top.bytes, encodeStrings([`${2n ** 60n}:1`, '5:0']));
});

test('text has no top classes', (t) => {
  t.throws(() => checkClassifiable('out', 'BYTES'), {
    instanceOf: StatusError,
    message: "class result not available for output 'out' due to unsupported type 'BYTES'",
  });
});
