import test from 'ava';
import { Batcher, type BatcherLimits } from './batcher.ts';
import type { RequestQueue, Waiting } from './request-queue.ts';

class Request implements Waiting {
  readonly name: string;
  readonly rows: number;
  readonly sizeBytes: number;
  readonly shapeKey: string;
  readonly arrivedMs: number;
  readonly deadlineMs: number;
  queue: RequestQueue | undefined;
  next: Waiting | undefined;
  previous: Waiting | undefined;

  constructor(name: string, arrivedMs: number, fields: Partial<Waiting> = {}) {
    this.name = name;
    this.arrivedMs = arrivedMs;
    this.rows = fields.rows ?? 1;
    this.sizeBytes = fields.sizeBytes ?? 4;
    this.shapeKey = fields.shapeKey ?? '';
    this.deadlineMs = fields.deadlineMs ?? Number.POSITIVE_INFINITY;
  }
}

const LIMITS: BatcherLimits = {
  maxBatchSize: 8,
  preferredBatchSizes: [],
  maxQueueDelayMs: 0,
  maxQueueSize: 100,
  maxQueueBytes: 1000,
};

const namesOf = (requests: readonly Request[]) => requests.map(({ name }) => name).join(' ');

/** A batcher that speaks in lines: `play` tells what it decides at a moment. */
function scripted(limits: Partial<BatcherLimits> = {}, instances = 1) {
  const batcher = new Batcher<Request>({ ...LIMITS, ...limits });
  for (let i = 0; i < instances; i++) batcher.free(i);
  const come = (name: string, atMs: number, fields: Partial<Waiting> = {}) => {
    const request = new Request(name, atMs, fields);
    return batcher.arrive(request) ? request : undefined;
  };
  const play = (atMs: number) =>
    batcher
      .decide(atMs)
      .map((action) =>
        action.kind === 'run'
          ? `run ${action.instance}: ${namesOf(action.requests)} (${action.rows})`
          : `expire ${action.request.name}`,
      );
  return { batcher, come, play };
}

test('with no delay a free instance takes at once what is there', (t) => {
  const { batcher, come, play } = scripted();
  come('a', 0);
  t.deepEqual(play(0), ['run 0: a (1)']);
  come('b', 1, { rows: 3 });
  come('c', 1, { rows: 4 });
  come('d', 2, { rows: 2 });
  t.deepEqual(play(2), []);
  batcher.free(0);
  t.deepEqual(play(3), ['run 0: b c (7)'], 'd would not fit, and is not split');
  batcher.free(0);
  t.deepEqual(play(4), ['run 0: d (2)']);
  t.is(batcher.queued, 0);
  t.is(batcher.queuedBytes, 0);
});

test('with a delay the oldest waits for company until it is due, or the batch is full', (t) => {
  const { batcher, come, play } = scripted({ maxQueueDelayMs: 5 });
  come('a', 10);
  t.deepEqual(play(10), []);
  t.is(batcher.wakeMs, 15);
  come('b', 12, { rows: 2 });
  t.deepEqual(play(14.9), []);
  t.deepEqual(play(15), ['run 0: a b (3)']);
  batcher.free(0);
  come('c', 20, { rows: 5 });
  t.deepEqual(play(20), []);
  come('d', 21, { rows: 3 });
  t.deepEqual(play(21), ['run 0: c d (8)'], 'full: no reason to wait');
  t.is(batcher.wakeMs, Number.POSITIVE_INFINITY);
});

test('a preferred size goes without further delay, the largest first', (t) => {
  const { batcher, come, play } = scripted({ maxQueueDelayMs: 5, preferredBatchSizes: [2, 4] }, 2);
  come('a', 0);
  t.deepEqual(play(0), []);
  come('b', 1);
  t.deepEqual(play(1), ['run 1: a b (2)']);
  for (const name of ['c', 'd', 'e', 'f', 'g']) come(name, 2);
  t.deepEqual(play(2), ['run 0: c d e f (4)']);
  batcher.free(0);
  t.deepEqual(play(3), []);
  t.is(batcher.wakeMs, 7);
  t.deepEqual(play(7), ['run 0: g (1)']);
});

test('other shapes never share a batch; the shape that has waited longest goes first', (t) => {
  const { batcher, come, play } = scripted();
  batcher.withdraw(0);
  come('a', 0, { shapeKey: '3' });
  come('b', 1, { shapeKey: '5' });
  come('c', 2, { shapeKey: '3' });
  t.deepEqual(play(3), []);
  batcher.free(0);
  t.deepEqual(play(3), ['run 0: a c (2)']);
  batcher.free(0);
  t.deepEqual(play(3), ['run 0: b (1)']);
});

test('past its deadline a queued request expires and never runs', (t) => {
  const { batcher, come, play } = scripted();
  batcher.withdraw(0);
  come('a', 0, { deadlineMs: 10 });
  come('b', 0, { deadlineMs: 30 });
  come('c', 0, { deadlineMs: 20 });
  t.is(batcher.wakeMs, 10);
  t.deepEqual(play(9), []);
  t.deepEqual(play(10), ['expire a']);
  t.is(batcher.wakeMs, 20);
  batcher.free(0);
  t.deepEqual(play(25), ['expire c', 'run 0: b (1)']);
});

test('a full queue refuses by count and by bytes; a refusal ends the waiting for company', (t) => {
  const { batcher, come, play } = scripted({ maxQueueDelayMs: 100, maxQueueSize: 2 });
  come('a', 0);
  come('b', 0);
  t.is(come('c', 0), undefined);
  t.deepEqual(play(0), ['run 0: a b (2)']);
  t.truthy(come('c', 0));
  batcher.free(0);
  t.deepEqual(play(0), [], 'the pressure is gone');

  const bytes = scripted({ maxQueueBytes: 10 });
  t.truthy(bytes.come('a', 0, { sizeBytes: 6 }));
  t.is(bytes.come('b', 0, { sizeBytes: 5 }), undefined);
  t.truthy(bytes.come('c', 0, { sizeBytes: 4 }));
});

test('cancelling takes out of the middle; draining ends the waiting; evict empties', (t) => {
  const { batcher, come, play } = scripted({ maxQueueDelayMs: 100 });
  const requests = ['a', 'b', 'c'].map((name) => come(name, 0));
  const b = requests[1];
  if (b === undefined) return t.fail();
  t.true(batcher.cancel(b));
  t.false(batcher.cancel(b));
  batcher.drain();
  t.deepEqual(play(1), ['run 0: a c (2)']);
  come('d', 2);
  come('e', 2, { shapeKey: '7' });
  t.deepEqual(
    batcher.evict().map((request) => request.name),
    ['d', 'e'],
  );
  t.is(batcher.queued + batcher.queuedBytes, 0);
});

test('without batching each request runs alone, one for each free instance', (t) => {
  const { come, play } = scripted({ maxBatchSize: 0 }, 2);
  for (const name of ['a', 'b', 'c']) come(name, 0);
  t.deepEqual(play(0), ['run 1: a (1)', 'run 0: b (1)']);
});

test('more rows than a run takes is a fault of the caller', (t) => {
  const { come } = scripted();
  t.throws(() => come('a', 0, { rows: 9 }), { instanceOf: RangeError });
});
