import test from 'ava';
import fc from 'fast-check';
import { elementCount } from '../../common/tensor.ts';
import { Nesting } from './nesting.ts';

type Nested = number | readonly Nested[];

function nest(values: readonly number[], shape: readonly number[]): Nested {
  const [first, ...rest] = shape;
  if (first === undefined) return values[0] ?? 0;
  const size = values.length / first;
  return Array.from({ length: first }, (_, at) =>
    nest(values.slice(at * size, (at + 1) * size), rest),
  );
}

function walk(nested: Nested, nesting: Nesting): void {
  if (typeof nested === 'number') {
    nesting.leaves(1);
    return;
  }
  nesting.open();
  for (const one of nested) walk(one, nesting);
  nesting.close();
}

const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });

test('lists nested as their shape is fit it', (t) => {
  fc.assert(
    fc.property(shapes, (shape) => {
      const count = elementCount(shape);
      const nesting = new Nesting();
      walk(nest([...new Array(count).keys()], shape), nesting);
      return nesting.fits(shape, count);
    }),
  );
  t.pass();
});

test('lists nested as another shape of several dimensions do not', (t) => {
  fc.assert(
    fc.property(shapes, shapes, (shape, other) => {
      const dims = (all: readonly number[]) => all.filter((dim) => dim !== 1);
      const isSame = String(dims(shape)) === String(dims(other));
      fc.pre(elementCount(shape) === elementCount(other) && dims(shape).length > 1 && !isSame);
      const nesting = new Nesting();
      walk(nest([...new Array(elementCount(shape)).keys()], shape), nesting);
      return !nesting.fits(other, elementCount(other));
    }),
    { numRuns: 50 },
  );
  t.pass();
});
