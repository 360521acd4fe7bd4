import test from 'ava';
import fc from 'fast-check';
import { QueueWait } from './queue-wait.ts';

/** What is added to the estimate. */
const MARGIN = 1.3;
const near = (value: number): number => Math.round((value / MARGIN) * 1e6) / 1e6;

const one = { rows: 1, requests: 1, maxBatchSize: 8, instances: 1 };

test('nothing is known: everybody is let in', (t) => {
  t.is(new QueueWait().answerMs({ ...one, rows: 10_000 }), 0);
});

test('runs ahead count, each with its time, as many at a time as there are instances', (t) => {
  const wait = new QueueWait();
  wait.ran(8, 10);
  t.is(near(wait.answerMs({ ...one, rows: 8 })), 15);
  t.is(near(wait.answerMs({ ...one, rows: 9 })), 25);
  t.is(near(wait.answerMs({ ...one, rows: 32 })), 45);
  t.is(near(wait.answerMs({ ...one, rows: 32, instances: 4 })), 15);
  t.is(near(wait.answerMs({ ...one, rows: 33, instances: 4 })), 25);
});

test('without batching each request is a run of its own, whatever its rows', (t) => {
  const wait = new QueueWait();
  wait.ran(1, 4);
  t.is(near(wait.answerMs({ rows: 30, requests: 3, maxBatchSize: 0, instances: 1 })), 14);
});

test('of a size not seen yet the next smaller one says how long, never a larger one', (t) => {
  const wait = new QueueWait();
  wait.ran(8, 80);
  t.is(near(wait.answerMs({ ...one, rows: 2 })), 0);
  wait.ran(1, 2);
  t.is(near(wait.answerMs({ ...one, rows: 4 })), 3);
});

test('the average follows the runs', (t) => {
  t.plan(1);
  const runs = fc.array(fc.double({ min: 1, max: 1_000, noNaN: true }), { minLength: 1 });
  t.notThrows(() =>
    fc.assert(
      fc.property(runs, (times) => {
        const wait = new QueueWait();
        for (const runMs of times) wait.ran(1, runMs);
        const runMs = near(wait.answerMs(one)) / 1.5;
        return runMs >= Math.min(...times) - 1e-5 && runMs <= Math.max(...times) + 1e-5;
      }),
    ),
  );
});
