import test from 'ava';
import type { ShardStep } from '../registry.ts';
import { parseHint } from './hints.ts';
import { MAX_STEP_CHARACTERS, parseStep, stepHint } from './step-hint.ts';

const STEP: ShardStep = {
  from: { index: 17, epoch: 4, revision: 9 },
  to: { index: 17, epoch: 5, revision: 10 },
  nodeIds: ['n1', 'odd "one"\n2'],
};

test('a step comes back as it was, and older releases pass over it', (t) => {
  t.deepEqual(parseStep(stepHint(STEP)), STEP);
  t.is(parseHint(stepHint(STEP)), undefined);
});

test('a step of too many nodes is not sent', (t) => {
  t.is(stepHint({ ...STEP, nodeIds: Array(2_000).fill('node-0001') }), '');
  t.not(stepHint({ ...STEP, nodeIds: Array(1_000).fill('node-0001') }), '');
});

test('what is no step is none', (t) => {
  const wrong = [
    'step',
    'step ',
    'step []',
    'step [256,[1,1],[1,2],[]]',
    'step [1,[1,1],[1,-2],[]]',
  ];
  const more = [
    'assignment 17',
    'step [1,[1,1],[1,2],[3]]',
    `step ${' '.repeat(MAX_STEP_CHARACTERS)}`,
  ];
  for (const text of [...wrong, ...more]) t.is(parseStep(text), undefined, text);
});
