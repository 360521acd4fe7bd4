// The end of a call at a process that takes it, as a listener has it: its deadline is kept here, on
// this process's clock, and it is answered once. A second answer is a fault of who gave it.
import { Code, StatusError } from '../../common/status.ts';
import { MODEL_INFER } from '../../router/forward.ts';
import { NO_METADATA, type UnaryCall } from '../../transport/backend.ts';
import type { Life } from './machine.ts';

export type Outcome =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly error: StatusError };

export interface ListenerCallOptions {
  readonly life: Life;
  readonly request: Uint8Array;
  /** What is left of the caller's time. */
  readonly leftMs: number;
  readonly onAnswer: (outcome: Outcome) => void;
  /** The callee answered after it had answered. */
  readonly onSecond: () => void;
  /** The deadline has passed without an answer. */
  readonly onExpired?: () => void;
}

export class ListenerCall implements UnaryCall {
  readonly path = MODEL_INFER;
  readonly metadata = NO_METADATA;
  readonly peer = 'sim';
  readonly request: Uint8Array;
  readonly deadlineMs: number;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #options: ListenerCallOptions;
  readonly #cancelDeadline: () => void;
  #isAnswered = false;

  constructor(options: ListenerCallOptions) {
    this.#options = options;
    this.request = options.request;
    this.deadlineMs = options.life.nowMs() + options.leftMs;
    this.#cancelDeadline = options.life.after(options.leftMs, () => this.#expire());
  }

  succeed(bytes: Uint8Array): void {
    this.#answer({ ok: true, bytes });
  }

  fail(error: StatusError): void {
    this.#answer({ ok: false, error });
  }

  /** The caller is gone. */
  cancel(): void {
    if (this.#isAnswered || this.isCancelled) return;
    this.isCancelled = true;
    this.#cancelDeadline();
    this.onCancel?.();
  }

  #answer(outcome: Outcome): void {
    if (this.#isAnswered) {
      this.#options.onSecond();
      return;
    }
    this.#isAnswered = true;
    this.#cancelDeadline();
    if (!this.isCancelled) this.#options.onAnswer(outcome);
  }

  #expire(): void {
    if (this.#isAnswered || this.isCancelled) return;
    this.#options.onExpired?.();
    this.cancel();
    const error = new StatusError(Code.DEADLINE_EXCEEDED, 'the deadline passed');
    this.#options.onAnswer({ ok: false, error });
  }
}
