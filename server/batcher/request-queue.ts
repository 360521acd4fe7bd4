// First in, first out, for requests of one shape. The links live in the requests themselves, so
// that queueing allocates nothing and a cancelled request leaves from the middle at once.

/** What a request must carry to wait in a batcher. One request waits in one queue at a time. */
export interface Waiting {
  /** Rows along the batch dimension: 1 or more. */
  readonly rows: number;
  readonly sizeBytes: number;
  /**
   * Requests share a batch only if their keys are equal: the dimensions after the first, as text.
   */
  shapeKey: string;
  readonly deadlineMs: number;
  arrivedMs: number;
  /** The queue's own; undefined when not waiting. */
  queue: RequestQueue | undefined;
  next: Waiting | undefined;
  previous: Waiting | undefined;
}

export class RequestQueue {
  readonly shapeKey: string;
  head: Waiting | undefined;
  tail: Waiting | undefined;
  count = 0;

  constructor(shapeKey: string) {
    this.shapeKey = shapeKey;
  }

  push(request: Waiting): void {
    request.queue = this;
    request.previous = this.tail;
    request.next = undefined;
    if (this.tail === undefined) this.head = request;
    else this.tail.next = request;
    this.tail = request;
    this.count++;
  }

  remove(request: Waiting): void {
    if (request.previous === undefined) this.head = request.next;
    else request.previous.next = request.next;
    if (request.next === undefined) this.tail = request.previous;
    else request.next.previous = request.previous;
    request.queue = undefined;
    request.previous = undefined;
    request.next = undefined;
    this.count--;
  }
}
