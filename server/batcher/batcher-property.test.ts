// Random arrivals, times, frees and cancellations against a plain model of the queue: what the
// batcher promises holds after every event, whatever the order.
import test from 'ava';
import fc from 'fast-check';
import { Batcher, type BatcherLimits } from './batcher.ts';
import type { Waiting } from './request-queue.ts';

interface Request extends Waiting {
  readonly id: number;
}

type Step =
  | { do: 'arrive'; rows: number; shape: number; sizeBytes: number; deadlineMs: number }
  | { do: 'free' }
  | { do: 'wait'; byMs: number }
  | { do: 'cancel'; pick: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      rows: fc.integer({ min: 1, max: 4 }),
      shape: fc.integer({ min: 0, max: 2 }),
      sizeBytes: fc.integer({ min: 0, max: 9 }),
      deadlineMs: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.integer({ min: 0, max: 20 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('free' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      byMs: fc.integer({ min: 0, max: 12 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat({ max: 20 }) }),
  },
);

const limits: fc.Arbitrary<BatcherLimits> = fc.record({
  maxBatchSize: fc.oneof(fc.constant(0), fc.integer({ min: 4, max: 9 })),
  preferredBatchSizes: fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { maxLength: 2 }),
  maxQueueDelayMs: fc.constantFrom(0, 0, 3, 7),
  maxQueueSize: fc.integer({ min: 1, max: 12 }),
  maxQueueBytes: fc.integer({ min: 9, max: 60 }),
});

const INSTANCES = 2;

/** The batcher beside its model: arrays, and every promise checked after every decision. */
class Harness {
  readonly limits: BatcherLimits;
  readonly batcher: Batcher<Request>;
  readonly answered = new Map<number, string>();
  waiting: Request[] = [];
  busy: number[] = [];
  nowMs = 0;
  #nextId = 0;

  constructor(limits: BatcherLimits) {
    this.limits = limits;
    this.batcher = new Batcher<Request>(limits);
    for (let i = 0; i < INSTANCES; i++) this.batcher.free(i);
  }

  play(step: Step): void {
    if (step.do === 'arrive') this.#arrive(step);
    else if (step.do === 'cancel') this.#cancel(step.pick);
    else if (step.do === 'wait') this.#wait(step.byMs);
    else {
      const instance = this.busy.shift();
      if (instance !== undefined) this.batcher.free(instance);
    }
    this.decide();
  }

  #arrive(step: Step & { do: 'arrive' }): void {
    const request: Request = {
      id: this.#nextId++,
      rows: step.rows,
      sizeBytes: step.sizeBytes,
      shapeKey: String(step.shape),
      arrivedMs: this.nowMs,
      deadlineMs: this.nowMs + step.deadlineMs,
      queue: undefined,
      next: undefined,
      previous: undefined,
    };
    const bytes = this.waiting.reduce((sum, other) => sum + other.sizeBytes, 0);
    const fits =
      this.waiting.length < this.limits.maxQueueSize &&
      bytes + step.sizeBytes <= this.limits.maxQueueBytes;
    must(this.batcher.arrive(request) === fits, 'the limits decide, and nothing else');
    if (fits) this.waiting.push(request);
    else this.#answer(request, 'refused');
    if (!fits && this.busy.length < INSTANCES) {
      this.decide();
      const room = this.waiting.length < this.limits.maxQueueSize;
      must(room || this.busy.length === INSTANCES, 'a refusal puts idle instances to work');
    }
  }

  #cancel(pick: number): void {
    const request = this.waiting[pick % Math.max(1, this.waiting.length)];
    if (request === undefined) return;
    must(this.batcher.cancel(request), 'a waiting request can be cancelled');
    must(!this.batcher.cancel(request), 'once');
    this.#forget(request, 'cancelled');
  }

  #wait(byMs: number): void {
    const untilMs = this.nowMs + byMs;
    while (this.batcher.wakeMs <= untilMs) {
      must(this.batcher.wakeMs >= this.nowMs, 'no wake-up is missed');
      this.nowMs = this.batcher.wakeMs;
      this.decide();
    }
    this.nowMs = untilMs;
  }

  decide(): void {
    for (const action of this.batcher.decide(this.nowMs)) {
      if (action.kind === 'expire') {
        must(action.request.deadlineMs <= this.nowMs, 'only what is late expires');
        this.#forget(action.request, 'expired');
      } else this.#run(action.instance, action.requests, action.rows);
    }
    this.#checkRest();
  }

  #run(instance: number, requests: Request[], rows: number): void {
    must(!this.busy.includes(instance), 'one run an instance');
    this.busy.push(instance);
    const first = requests[0];
    must(first !== undefined, 'no empty run');
    const queue = this.waiting.filter((other) => other.shapeKey === first?.shapeKey);
    must(
      requests.every((request, at) => queue[at] === request),
      'order kept, nobody skipped, one shape',
    );
    must(rows === requests.reduce((sum, request) => sum + request.rows, 0), 'rows add up');
    const { maxBatchSize } = this.limits;
    must(maxBatchSize === 0 ? requests.length === 1 : rows <= maxBatchSize, 'size limit');
    must(
      requests.every((request) => request.deadlineMs > this.nowMs),
      'nothing late runs',
    );
    for (const request of requests) this.#forget(request, 'ran');
  }

  /** After a decision: nothing is left that ought to have happened. */
  #checkRest(): void {
    must(
      this.waiting.every((request) => request.deadlineMs > this.nowMs),
      'late ones are gone',
    );
    must(this.batcher.wakeMs > this.nowMs, 'no wake-up for what was just decided');
    must(this.batcher.queued === this.waiting.length, 'count kept');
    if (this.busy.length === INSTANCES) return;
    const { maxBatchSize, maxQueueDelayMs, preferredBatchSizes } = this.limits;
    must(maxBatchSize > 0 || this.waiting.length === 0, 'idle, though a request waits');
    for (const shape of new Set(this.waiting.map((request) => request.shapeKey))) {
      const queue = this.waiting.filter((request) => request.shapeKey === shape);
      const sums = queue.map((_, at) => queue.slice(0, at + 1).reduce((sum, r) => sum + r.rows, 0));
      const total = sums.at(-1) ?? 0;
      must(total < maxBatchSize, 'idle, though a batch is full');
      must(!sums.some((sum) => preferredBatchSizes.includes(sum)), 'idle at a preferred size');
      must(this.nowMs - (queue[0]?.arrivedMs ?? 0) < maxQueueDelayMs, 'idle past the delay');
    }
  }

  #forget(request: Request, outcome: string): void {
    this.waiting = this.waiting.filter((other) => other !== request);
    this.#answer(request, outcome);
  }

  #answer(request: Request, outcome: string): void {
    must(!this.answered.has(request.id), 'one answer');
    this.answered.set(request.id, outcome);
  }

  /** Drains: every request there ever was has its answer then. */
  finish(): void {
    this.batcher.drain();
    for (let turn = 0; this.waiting.length > 0 && turn < 1000; turn++) this.play({ do: 'free' });
    must(this.answered.size === this.#nextId, 'everyone is answered');
  }
}

function must(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Error(promise);
}

test('whatever comes when: one answer each, order, limits, delay, no idling', (t) => {
  const ran = { runs: 0, refused: 0, expired: 0 };
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 60 }), (limits, steps) => {
      const harness = new Harness(limits);
      for (const one of steps) harness.play(one);
      harness.finish();
      for (const outcome of harness.answered.values()) {
        if (outcome === 'ran') ran.runs++;
        else if (outcome === 'refused') ran.refused++;
        else if (outcome === 'expired') ran.expired++;
      }
    }),
    { numRuns: 1500 },
  );
  // The cases are random: this only shows that none of the three is never tried.
  t.true(ran.runs > 10 && ran.refused > 10 && ran.expired > 10, JSON.stringify(ran));
});
