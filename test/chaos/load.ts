// Open-loop load on a cluster: calls at random moments at a rate, whatever comes back, over each
// kind of client and each model in turn; every answer is checked value by value.
import { gapMs } from '../../loadtest/generator.ts';
import { CallBook } from './call-book.ts';
import { type CheckedModel, checkedRequest, wrongIn } from './checked-model.ts';
import type { ChaosClient } from './clients.ts';

const TICK_MS = 1;
const PATIENCE_MS = 10_000;
const NEVER_ANSWERED = 255;

export interface LoadOptions {
  readonly clients: readonly ChaosClient[];
  readonly models: readonly CheckedModel[];
  readonly ratePerSecond: number;
  readonly deadlineMs: number;
  /** Behind a call's deadline: then it is counted as never answered. */
  readonly patienceMs?: number;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Load {
  readonly options: LoadOptions;
  readonly book = new CallBook();
  readonly startMs = performance.now();
  /** The most that a call was sent too late, since this process was busy. */
  mostLateMs = 0;
  readonly #outstanding = new Set<number>();
  #calls = 0;
  #nextMs: number;
  #timer: NodeJS.Timeout | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: LoadOptions) {
    this.options = options;
    this.#nextMs = this.startMs;
    this.#tick();
  }

  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Sends no more, and waits for the answers that are due. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#outstanding.size === 0) return;
    const { deadlineMs, patienceMs = PATIENCE_MS } = this.options;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      timer = setTimeout(resolve, deadlineMs + patienceMs);
    });
    clearTimeout(timer);
    const [dueMs, endMs] = [this.startMs, performance.now()];
    for (const call of this.#outstanding) {
      const message = `call ${call} was never answered`;
      const lost = { code: NEVER_ANSWERED, message, wrong: undefined };
      this.book.add({ ...lost, dueMs, endMs, deadlineMs, ...this.#placeOf(call) });
    }
  }

  #tick(): void {
    const { ratePerSecond, random } = this.options;
    const nowMs = performance.now();
    while (this.#nextMs <= nowMs) {
      this.mostLateMs = Math.max(this.mostLateMs, nowMs - this.#nextMs);
      this.#send(this.#nextMs);
      this.#nextMs += gapMs('poisson', ratePerSecond, random);
    }
    this.#timer = setTimeout(() => this.#tick(), Math.max(TICK_MS, this.#nextMs - nowMs));
  }

  #placeOf(call: number): { readonly client: number; readonly model: number } {
    const { clients, models } = this.options;
    return {
      client: call % clients.length,
      model: Math.floor(call / clients.length) % models.length,
    };
  }

  #send(dueMs: number): void {
    const { clients, models, deadlineMs } = this.options;
    const call = this.#calls++;
    const place = this.#placeOf(call);
    const [client, model] = [clients[place.client], models[place.model]];
    if (client === undefined || model === undefined) throw new Error('a load of nothing');
    this.#outstanding.add(call);
    client.infer(checkedRequest(model, call), deadlineMs, ({ code, message, answer }) => {
      if (!this.#outstanding.delete(call)) return;
      const wrong = answer === undefined ? undefined : wrongIn(model, call, answer);
      const endMs = performance.now();
      this.book.add({ dueMs, endMs, deadlineMs, code, message, wrong, ...place });
      if (this.#outstanding.size === 0) this.#onIdle?.();
    });
  }
}
