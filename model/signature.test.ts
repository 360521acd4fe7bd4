import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { DATATYPES } from '../common/tensor.ts';
import { dataTypeOf, datatypeOfConfig } from './config/datatypes.ts';
import { datatypeOf, elementTypeName, elementTypeOf } from './onnx/elements.ts';
import type { OnnxValue } from './onnx/reader.ts';
import { signatureOfOnnx } from './signature.ts';

const X: OnnxValue = {
  name: 'x',
  kind: 'tensor',
  elementType: 1,
  datatype: 'FP32',
  shape: [-1, 4],
  dimNames: ['batch', ''],
};

test('datatypes map to ONNX and ModelConfig and back', (t) => {
  for (const datatype of DATATYPES) {
    t.is(datatypeOf(elementTypeOf(datatype)), datatype);
    t.is(datatypeOfConfig(dataTypeOf(datatype)), datatype);
  }
  t.is(elementTypeOf('FP32'), 1);
  t.is(elementTypeOf('BYTES'), 8);
  t.is(dataTypeOf('BYTES'), 13);
  t.is(datatypeOfConfig(0), undefined);
  t.is(elementTypeName(999), 'element type 999');
});

test('tensors become specs; an output without rank takes the one that a run gave', (t) => {
  const y = { ...X, name: 'y', shape: undefined, dimNames: [] };
  const signature = signatureOfOnnx({ inputs: [X], outputs: [y] }, new Map([['y', 2]]));
  t.deepEqual(signature.inputs, [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }]);
  t.deepEqual(signature.outputs, [{ name: 'y', datatype: 'FP32', shape: [-1, -1] }]);
});

test('what can not be served is refused by name', (t) => {
  const cases: [Partial<OnnxValue>, Code, RegExp][] = [
    [{ elementType: 16, datatype: 'BF16' }, Code.UNIMPLEMENTED, /'x' is BFLOAT16, which can't/],
    [{ elementType: 14, datatype: undefined }, Code.UNIMPLEMENTED, /COMPLEX64/],
    [{ kind: 'sequence' }, Code.UNIMPLEMENTED, /'x' is a sequence.*zipmap/],
    [{ shape: undefined }, Code.INVALID_ARGUMENT, /'x' declares no shape/],
    [{ name: 'x\0z' }, Code.INVALID_ARGUMENT, /name of (in|out)put "x\\u0000z" has a NUL in it/],
  ];
  for (const [change, code, message] of cases) {
    const wrong = { ...X, ...change };
    for (const sides of [
      { inputs: [wrong], outputs: [X] },
      { inputs: [X], outputs: [wrong] },
    ]) {
      const error = t.throws(() => signatureOfOnnx(sides), { instanceOf: StatusError, message });
      t.is(error?.code, code);
    }
  }
});
