import test from 'ava';
import { DATATYPES, elementCount, elementSizeBytes, isDatatype } from './tensor.ts';

test('every datatype is known by its name and none else', (t) => {
  for (const datatype of DATATYPES) t.true(isDatatype(datatype));
  for (const other of ['fp32', 'FLOAT', '', 'toString', '__proto__']) t.false(isDatatype(other));
});

test('element sizes are those of the raw form', (t) => {
  t.deepEqual(
    (['BOOL', 'INT16', 'FP16', 'BF16', 'FP32', 'INT64', 'BYTES'] as const).map(elementSizeBytes),
    [1, 2, 2, 2, 4, 8, 0],
  );
});

test('a scalar has one element, an empty dimension none', (t) => {
  t.is(elementCount([]), 1);
  t.is(elementCount([3, 4]), 12);
  t.is(elementCount([3, 0]), 0);
});
