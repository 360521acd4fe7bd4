// A process and its machine: it can be killed, paused (SIGSTOP) and started anew, has a clock that
// runs a little fast or slow, and a disk that outlives it. Whatever reaches a process comes through
// its life: nothing runs in a life that has ended, and what comes to a paused one waits.
import type { Clock } from '../../common/clock.ts';
import { Illness } from './illness.ts';
import type { Schedule } from './schedule.ts';

export class Machine {
  readonly name: string;
  readonly disk = new Map<string, string>();
  /** Of a write to the disk, or a read of a file; slow disks take longer. */
  diskDelayMs = 0.5;
  readonly schedule: Schedule;
  readonly #offsetMs: number;
  readonly #rate: number;
  #life: Life | undefined;
  /** It went without a word: power is off. Else its system still answers for it. */
  isDownSilently = false;
  readonly illness: Illness;

  constructor(name: string, schedule: Schedule, skew: { offsetMs: number; rate: number }) {
    this.name = name;
    this.schedule = schedule;
    this.illness = new Illness(schedule);
    this.#offsetMs = skew.offsetMs;
    this.#rate = skew.rate;
  }

  /** Undefined: it is down. */
  get life(): Life | undefined {
    return this.#life;
  }

  get isPaused(): boolean {
    return this.#life?.isPaused === true;
  }

  begin(): Life {
    this.end();
    this.#life = new Life(this);
    return this.#life;
  }

  end(): void {
    this.#life?.end();
    this.#life = undefined;
  }

  /** What its clock shows at this moment. */
  nowMs(): number {
    return this.#offsetMs + this.schedule.nowMs() * this.#rate;
  }

  /** Virtual milliseconds in which its clock goes on by so many. */
  ownMs(durationMs: number): number {
    return durationMs / this.#rate;
  }
}

export class Life implements Clock {
  readonly machine: Machine;
  #isAlive = true;
  #isPaused = false;
  #timers: (() => void)[] = [];
  #arrivals: (() => void)[] = [];
  readonly #onEnd = new Set<() => void>();

  constructor(machine: Machine) {
    this.machine = machine;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  nowMs(): number {
    return this.machine.nowMs();
  }

  after(delayMs: number, callback: () => void): () => void {
    const { machine } = this;
    let isCancelled = false;
    const fire = (): void => {
      if (!isCancelled) callback();
    };
    const planned = machine.schedule.after(machine.ownMs(Math.max(0, delayMs)), () => {
      if (!this.#isAlive) return;
      if (this.#isPaused) this.#timers.push(fire);
      else callback();
    });
    return () => {
      isCancelled = true;
      planned.run = undefined;
    };
  }

  /** Something comes in from outside: now, or when it runs again, or never. */
  arrive(callback: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isPaused) this.#arrivals.push(callback);
    else callback();
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** As an event loop does: first the timers that are overdue, then what lies in the sockets. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const overdue = [...this.#timers, ...this.#arrivals];
    this.#timers = [];
    this.#arrivals = [];
    for (const run of overdue) {
      this.machine.schedule.after(0, () => this.arrive(run));
    }
  }

  end(): void {
    this.#isAlive = false;
    this.#timers = [];
    this.#arrivals = [];
    for (const tell of [...this.#onEnd]) tell();
    this.#onEnd.clear();
  }

  /** Told when the process is gone: by those outside it. The function returned ends that. */
  onEnd(tell: () => void): () => void {
    this.#onEnd.add(tell);
    return () => this.#onEnd.delete(tell);
  }
}
