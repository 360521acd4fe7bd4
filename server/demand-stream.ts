// A stream whose messages may be for models that are loaded on demand: a message that has to wait
// holds back those behind it, and the flow of more, so that their order stays.
import type { StatusError } from '../common/status.ts';
import type { CallContext, Metadata, StreamCall } from '../transport/backend.ts';
import type { Visitor } from './demand-gate.ts';

/** As DemandGate has them. */
export interface Passing {
  enter(visitor: Visitor, path: string, message: Uint8Array): boolean;
  leave(visitor: Visitor): void;
}

export class DemandStream implements StreamCall {
  onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  onHalfClose: (() => void) | undefined = undefined;
  onCancel: (() => void) | undefined = undefined;
  readonly #call: StreamCall;
  readonly #gate: Passing;
  readonly #held: Uint8Array[] = [];
  #waiting: Visitor | undefined;
  #isHalfClosed = false;
  /** The service's own wish. */
  #isPaused = false;

  constructor(call: StreamCall, gate: Passing) {
    this.#call = call;
    this.#gate = gate;
    call.onMessage = (message) => {
      this.#held.push(message);
      this.#flow();
    };
    call.onHalfClose = () => {
      this.#isHalfClosed = true;
      this.#flow();
    };
    call.onCancel = () => {
      if (this.#waiting !== undefined) gate.leave(this.#waiting);
      this.#held.length = 0;
      this.onCancel?.();
    };
  }

  get path(): string {
    return this.#call.path;
  }
  get metadata(): Metadata {
    return this.#call.metadata;
  }
  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }
  get peer(): string {
    return this.#call.peer;
  }
  get isCancelled(): boolean {
    return this.#call.isCancelled;
  }
  get compression(): CallContext['compression'] {
    return this.#call.compression;
  }
  get answerMetadata(): Metadata {
    return this.#call.answerMetadata ?? [];
  }
  set answerMetadata(metadata: Metadata) {
    this.#call.answerMetadata = metadata;
  }
  get onDrain(): (() => void) | undefined {
    return this.#call.onDrain;
  }
  set onDrain(told: (() => void) | undefined) {
    this.#call.onDrain = told;
  }

  send(message: Uint8Array): boolean {
    return this.#call.send(message);
  }

  end(trailers?: Metadata): void {
    this.#over();
    this.#call.end(trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    this.#over();
    this.#call.fail(error, trailers);
  }

  pause(): void {
    this.#isPaused = true;
    this.#call.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#waiting === undefined) this.#call.resume();
  }

  #over(): void {
    if (this.#waiting !== undefined) this.#gate.leave(this.#waiting);
    this.#waiting = undefined;
    this.#held.length = 0;
  }

  /** Gives on what may go on, in its order. */
  #flow(): void {
    while (this.#waiting === undefined) {
      const message = this.#held.shift();
      if (message === undefined) break;
      this.#give(message);
    }
    if (this.#waiting === undefined && this.#isHalfClosed) {
      this.#isHalfClosed = false;
      this.onHalfClose?.();
    }
  }

  #give(message: Uint8Array): void {
    const call = this.#call;
    const done = (): void => {
      if (this.#waiting !== visitor) return;
      this.#waiting = undefined;
      if (!this.#isPaused) call.resume();
    };
    const visitor: Visitor = {
      deadlineMs: call.deadlineMs,
      sizeBytes: message.byteLength,
      pass: () => {
        done();
        this.onMessage?.(message);
        this.#flow();
      },
      refuse: (error) => {
        done();
        this.fail(error);
      },
    };
    if (!this.#gate.enter(visitor, call.path, message)) return;
    this.#waiting = visitor;
    call.pause();
  }
}
