// Whether something is wrong with a machine or a link, by the faults that are on it now, and since
// when it has been well. Checks ask it before they blame anybody.
import type { Schedule } from './schedule.ts';

export class Illness {
  readonly #schedule: Schedule;
  #count = 0;
  #endedMs = Number.NEGATIVE_INFINITY;

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  begin(): void {
    this.#count += 1;
  }

  end(): void {
    this.#count -= 1;
    this.#endedMs = this.#schedule.nowMs();
  }

  get isIll(): boolean {
    return this.#count > 0;
  }

  /** 0 while it is ill. */
  wellForMs(): number {
    return this.#count > 0 ? 0 : this.#schedule.nowMs() - this.#endedMs;
  }
}
