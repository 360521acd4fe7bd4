import test from 'ava';
import { spread } from '../comparison.ts';
import { target, targetLines } from './outcome.ts';

test('a target is judged by the median, whichever way it bounds', (t) => {
  const value = spread([1, 2, 9]);
  t.like(target({ text: 'a', value, atLeast: 2 }), { isMet: true, figure: '2.00 (1.00-9.00)' });
  t.like(target({ text: 'a', value, atLeast: 2.1 }), { isMet: false });
  t.like(target({ text: 'a', value, atMost: 2 }), { isMet: true });
  t.like(target({ text: 'a', value, atMost: 1.9 }), { isMet: false });
});

test('a target whose rival is missing is neither met nor missed', (t) => {
  const one = target({ text: 'a', value: undefined, atLeast: 2 });
  t.is(one.isMet, undefined);
  t.is(targetLines([one]).at(-1), '| a | not measured | not measured |');
});
