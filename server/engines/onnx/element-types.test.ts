import test from 'ava';
import { DATATYPES, elementSizeBytes } from '../../../common/tensor.ts';
import { arrayOver, datatypeOf, ortTypeOf } from './element-types.ts';

test('every datatype but BF16 has a type of the runtime, and an array of its size', (t) => {
  const buffer = new SharedArrayBuffer(64);
  for (const datatype of DATATYPES) {
    const type = ortTypeOf(datatype);
    if (type === undefined) {
      t.is(datatype, 'BF16');
      continue;
    }
    t.is(datatypeOf(type), datatype);
    if (type === 'string') continue;
    const array = arrayOver(type, buffer, 16, 3 * elementSizeBytes(datatype));
    t.is(array.length, 3);
    t.is(array.byteOffset, 16);
  }
  t.is(datatypeOf('uint4'), undefined);
  t.is(datatypeOf('constructor'), undefined);
});
