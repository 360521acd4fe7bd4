// Decides which requests run together, on which instance, and when. A state machine: events and the
// time go in, actions come out; it has no timer, calls nobody, and answers nobody.
//
// The rule, for the requests of one shape, in order of arrival, once an instance is free:
// 1. the longest run of them that fits max_batch_size is what could go;
// 2. if it fills max_batch_size exactly, it goes;
// 3. else, if it can be cut at a preferred size, the largest such part goes;
// 4. else it goes if the next request would not fit, or the oldest has waited max_queue_delay, or a
//    request was refused meanwhile (waiting only turns more away), or the model is draining;
// 5. else it waits for company: `wakeMs` says until when.
// Of several shapes that could go, the one whose oldest request came first does.
// Order is kept within a shape. A request is never split. Past its deadline a request never runs.
import { RequestQueue, type Waiting } from './request-queue.ts';

export interface BatcherLimits {
  /** Rows in a run. 0: no batching, each request runs alone. */
  readonly maxBatchSize: number;
  /** Sizes worth sending without further delay; those of maxBatchSize or more mean nothing. */
  readonly preferredBatchSizes: readonly number[];
  readonly maxQueueDelayMs: number;
  /** Requests waiting, running ones not counted; one more is refused. */
  readonly maxQueueSize: number;
  /** Their bytes; a request that would pass it is refused. */
  readonly maxQueueBytes: number;
}

export type BatcherAction<T> =
  | {
      readonly kind: 'run';
      readonly instance: number;
      readonly requests: T[];
      readonly rows: number;
    }
  /** Past its deadline while queued: DEADLINE_EXCEEDED. */
  | { readonly kind: 'expire'; readonly request: T };

/** Most requests have no action to follow. */
const NONE: readonly never[] = [];

export class Batcher<T extends Waiting> {
  readonly #limits: BatcherLimits;
  readonly #preferred: readonly number[];
  /**
   * By shape key; a queue that runs empty is dropped, so there are never more than requests. That
   * of models whose shapes are fixed ('') stays: a map that changes with each batch keeps what was
   * in it alive past quick garbage collections.
   */
  readonly #queues = new Map([['', new RequestQueue('')]]);
  readonly #idle: number[] = [];
  #count = 0;
  #rows = 0;
  #bytes = 0;
  /** No waiting request's deadline is earlier (it may be stale: too early, never too late). */
  #earliestDeadlineMs = Number.POSITIVE_INFINITY;
  #wakeMs = Number.POSITIVE_INFINITY;
  #drains = false;
  /** A request was refused since the last decision. */
  #isPressed = false;

  constructor(limits: BatcherLimits) {
    this.#limits = limits;
    this.#preferred = limits.preferredBatchSizes
      .filter((size) => size >= 1 && size < limits.maxBatchSize)
      .sort((a, b) => b - a);
  }

  get queued(): number {
    return this.#count;
  }

  get queuedRows(): number {
    return this.#rows;
  }

  get queuedBytes(): number {
    return this.#bytes;
  }

  get idleInstances(): number {
    return this.#idle.length;
  }

  /** `decide` is due at this moment even if nothing else happens. */
  get wakeMs(): number {
    return Math.min(this.#wakeMs, this.#earliestDeadlineMs);
  }

  /**
   * Event: a request came. False: there is no room ("Exceeds maximum queue size"); while an
   * instance is idle, `decide` makes room, and the request may come again.
   * @throws RangeError for more rows than a run takes: validation comes before.
   */
  arrive(request: T): boolean {
    const { maxBatchSize } = this.#limits;
    if (request.rows < 1 || (maxBatchSize > 0 && request.rows > maxBatchSize)) {
      throw new RangeError(`a request has ${request.rows} rows, allowed are 1 to ${maxBatchSize}`);
    }
    if (!this.#hasRoomFor(request.sizeBytes)) {
      this.#isPressed = true;
      return false;
    }
    let queue = this.#queues.get(request.shapeKey);
    if (queue === undefined) {
      queue = new RequestQueue(request.shapeKey);
      this.#queues.set(request.shapeKey, queue);
    }
    queue.push(request);
    this.#count++;
    this.#rows += request.rows;
    this.#bytes += request.sizeBytes;
    if (request.deadlineMs < this.#earliestDeadlineMs) {
      this.#earliestDeadlineMs = request.deadlineMs;
    }
    return true;
  }

  #hasRoomFor(sizeBytes: number): boolean {
    return (
      this.#count < this.#limits.maxQueueSize &&
      this.#bytes + sizeBytes <= this.#limits.maxQueueBytes
    );
  }

  /** Event: its caller has gone. False: it is not waiting (any more). */
  cancel(request: T): boolean {
    if (request.queue === undefined) return false;
    this.#remove(request.queue, request);
    return true;
  }

  /** Event: an instance is ready for a run, new or done with its last one. */
  free(instance: number): void {
    this.#idle.push(instance);
  }

  /** Event: an idle instance is gone. */
  withdraw(instance: number): void {
    const at = this.#idle.indexOf(instance);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Event: the model stops; what is queued no longer waits for company. */
  drain(): void {
    this.#drains = true;
  }

  /** Event: nothing will run any more; hands back all that waits, in order within a shape. */
  evict(): T[] {
    const all: T[] = [];
    for (const queue of this.#queues.values()) {
      while (queue.head !== undefined) {
        all.push(queue.head as T);
        this.#remove(queue, queue.head);
      }
    }
    return all;
  }

  /** What is to be done now, in order. Call it after events, and at `wakeMs`. */
  decide(nowMs: number): readonly BatcherAction<T>[] {
    this.#wakeMs = Number.POSITIVE_INFINITY;
    if (this.#count === 0) {
      this.#isPressed = false;
      this.#earliestDeadlineMs = Number.POSITIVE_INFINITY;
      return NONE;
    }
    let actions: BatcherAction<T>[] | undefined;
    if (nowMs >= this.#earliestDeadlineMs) actions = this.#expire(nowMs);
    while (this.#idle.length > 0 && this.#count > 0) {
      const action = this.#nextRun(nowMs);
      if (action === undefined) break;
      if (actions === undefined) actions = [action];
      else actions.push(action);
    }
    if (this.#idle.length === 0) this.#wakeMs = Number.POSITIVE_INFINITY;
    this.#isPressed = false;
    return actions ?? NONE;
  }

  /** Walks everything: happens once for each earliest deadline that passes, not for each call. */
  #expire(nowMs: number): BatcherAction<T>[] {
    const actions: BatcherAction<T>[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues.values()) {
      let at = queue.head;
      while (at !== undefined) {
        const next: Waiting | undefined = at.next;
        if (at.deadlineMs <= nowMs) {
          this.#remove(queue, at);
          actions.push({ kind: 'expire', request: at as T });
        } else if (at.deadlineMs < earliestMs) {
          earliestMs = at.deadlineMs;
        }
        at = next;
      }
    }
    this.#earliestDeadlineMs = earliestMs;
    return actions;
  }

  #nextRun(nowMs: number): BatcherAction<T> | undefined {
    let chosen: RequestQueue | undefined;
    let chosenRows = 0;
    let oldestMs = Number.POSITIVE_INFINITY;
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues.values()) {
      const head = queue.head;
      if (head === undefined) continue;
      const rows = this.#rowsToRun(head, nowMs);
      if (rows === 0) wakeMs = Math.min(wakeMs, head.arrivedMs + this.#limits.maxQueueDelayMs);
      else if (head.arrivedMs < oldestMs) {
        chosen = queue;
        chosenRows = rows;
        oldestMs = head.arrivedMs;
      }
    }
    this.#wakeMs = wakeMs;
    return chosen === undefined ? undefined : this.#take(chosen, chosenRows);
  }

  /** Rules 1 to 5 above; 0: wait. */
  #rowsToRun(head: Waiting, nowMs: number): number {
    const max = this.#limits.maxBatchSize;
    if (max === 0) return head.rows;
    let rows = 0;
    let preferredRows = 0;
    let at: Waiting | undefined = head;
    while (at !== undefined && rows + at.rows <= max) {
      rows += at.rows;
      if (this.#preferred.includes(rows)) preferredRows = rows;
      at = at.next;
    }
    if (rows === max) return rows;
    if (preferredRows > 0) return preferredRows;
    const isDue =
      at !== undefined ||
      nowMs >= head.arrivedMs + this.#limits.maxQueueDelayMs ||
      this.#isPressed ||
      this.#drains;
    return isDue ? rows : 0;
  }

  #take(queue: RequestQueue, rows: number): BatcherAction<T> {
    const requests: T[] = [];
    const instance = this.#idle.pop() ?? 0;
    let left = rows;
    while (left > 0 && queue.head !== undefined) {
      const request = queue.head as T;
      left -= request.rows;
      requests.push(request);
      this.#remove(queue, request);
      if (this.#limits.maxBatchSize === 0) break;
    }
    return { kind: 'run', instance, requests, rows };
  }

  #remove(queue: RequestQueue, request: Waiting): void {
    queue.remove(request);
    this.#count--;
    this.#rows -= request.rows;
    this.#bytes -= request.sizeBytes;
    if (queue.count === 0 && queue.shapeKey !== '') this.#queues.delete(queue.shapeKey);
  }
}
