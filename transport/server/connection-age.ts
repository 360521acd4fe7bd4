// Ends a connection that has grown old: told to go, then waited for, then cut. A tenth of the age
// is chance, so that connections made together don't all come back together.
import { ErrorCode } from '../http2/frames/constants.ts';
import type { Due, Slot } from './deadline-wheel.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import type { ServedListener } from './served-listener.ts';

const JITTER = 0.1;
/** For the last statuses to leave. */
const LAST_WORDS_MS = 1_000;

export class ConnectionAge implements Due {
  deadlineMs: number;
  slot: Slot | undefined = undefined;
  nextDue: Due | undefined = undefined;
  previousDue: Due | undefined = undefined;
  readonly #served: GrpcConnection;
  readonly #listener: ServedListener;
  #step: 'living' | 'ending' | 'last words' = 'living';

  constructor(served: GrpcConnection, listener: ServedListener) {
    this.#served = served;
    this.#listener = listener;
    const nowMs = listener.nowMs();
    const share = 1 + JITTER * (2 * listener.random() - 1);
    this.deadlineMs = nowMs + listener.limits.connectionAgeMs * share;
    listener.await(this, nowMs);
  }

  stop(): void {
    this.#listener.forget(this);
  }

  onDue(nowMs: number): void {
    const { connection } = this.#served;
    switch (this.#step) {
      case 'living':
        this.#step = 'ending';
        connection.drain(nowMs);
        this.#again(nowMs, this.#listener.limits.connectionAgeGraceMs);
        break;
      case 'ending':
        this.#step = 'last words';
        for (const call of this.#served.calls()) call.shutDown();
        this.#again(nowMs, LAST_WORDS_MS);
        break;
      case 'last words':
        connection.fail(ErrorCode.NO_ERROR, 'the connection has grown too old');
    }
    this.#served.wake();
  }

  #again(nowMs: number, inMs: number): void {
    this.deadlineMs = nowMs + inMs;
    this.#listener.await(this, nowMs);
  }
}
