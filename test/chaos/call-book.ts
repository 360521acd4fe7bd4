// What became of every call of a load, kept so that any stretch of time, model or kind of client
// can be asked for afterwards. Pure: times come in. A call costs 22 bytes.
import { codeName } from '../../common/status.ts';

const MAX_KEPT_FAILURES = 1_000;
const FIRST_ROOM = 65_536;
const OK = 0;

export interface CallEnd {
  /** When it was meant to be sent: latency counts from here. */
  readonly dueMs: number;
  readonly endMs: number;
  readonly deadlineMs: number;
  readonly code: number;
  /** Of a call that failed. */
  readonly message: string;
  /** What is wrong with the answer of a call that did not; undefined: nothing. */
  readonly wrong: string | undefined;
  /** Its place in the load's models. */
  readonly model: number;
  /** Its place in the load's clients. */
  readonly client: number;
}

export interface Stretch {
  /** By the moment at which a call was due; from inclusive, to exclusive. */
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly model?: (model: number) => boolean;
  readonly client?: number;
}

export interface Figures {
  readonly calls: number;
  readonly failed: number;
  readonly wrong: number;
  /** Of all calls, failed ones too. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The longest way to a failure, and that of 99 in a hundred. */
  readonly slowestFailureMs: number;
  readonly failureP99Ms: number;
}

export class CallBook {
  #room = FIRST_ROOM;
  #count = 0;
  #due = new Float64Array(FIRST_ROOM);
  #tookMs = new Float32Array(FIRST_ROOM);
  #code = new Uint8Array(FIRST_ROOM);
  #isWrong = new Uint8Array(FIRST_ROOM);
  #model = new Uint16Array(FIRST_ROOM);
  #client = new Uint8Array(FIRST_ROOM);
  /** What failed or was wrong, in words, the first of them. */
  readonly failures: CallEnd[] = [];

  get count(): number {
    return this.#count;
  }

  add(end: CallEnd): void {
    if (this.#count === this.#room) this.#grow();
    const at = this.#count++;
    this.#due[at] = end.dueMs;
    this.#tookMs[at] = end.endMs - end.dueMs;
    this.#code[at] = end.code;
    this.#isWrong[at] = end.wrong === undefined ? 0 : 1;
    this.#model[at] = end.model;
    this.#client[at] = end.client;
    const isGood = end.code === OK && end.wrong === undefined;
    if (!isGood && this.failures.length < MAX_KEPT_FAILURES) this.failures.push(end);
  }

  figures(stretch: Stretch = {}): Figures {
    const took: number[] = [];
    const failures: number[] = [];
    let [failed, wrong, slowestFailureMs] = [0, 0, 0];
    for (let at = 0; at < this.#count; at += 1) {
      if (!this.#isIn(at, stretch)) continue;
      const tookMs = this.#tookMs[at] ?? 0;
      took.push(tookMs);
      wrong += this.#isWrong[at] ?? 0;
      if (this.#code[at] === OK) continue;
      failed += 1;
      failures.push(tookMs);
      slowestFailureMs = Math.max(slowestFailureMs, tookMs);
    }
    const [p50Ms = 0, p99Ms = 0, maxMs = 0] = sharesOf(took, [0.5, 0.99, 1]);
    const [failureP99Ms = 0] = sharesOf(failures, [0.99]);
    const calls = took.length;
    return { calls, failed, wrong, p50Ms, p99Ms, maxMs, slowestFailureMs, failureP99Ms };
  }

  /** '3 UNAVAILABLE (no copy ...), 1 wrong (...)', of what was kept; times count from `zeroMs`. */
  failureWords(zeroMs: number, matches: (end: CallEnd) => boolean = () => true): string {
    const kinds = new Map<string, { count: number; firstMs: number; lastMs: number }>();
    for (const end of this.failures) {
      if (!matches(end)) continue;
      const kind = end.wrong ?? `${codeName(end.code)} (${end.message})`;
      const seen = kinds.get(kind) ?? { count: 0, firstMs: end.dueMs, lastMs: end.dueMs };
      kinds.set(kind, { ...seen, count: seen.count + 1, lastMs: end.dueMs });
    }
    const seconds = (ms: number): string => ((ms - zeroMs) / 1_000).toFixed(1);
    return [...kinds]
      .map(
        ([kind, { count, firstMs, lastMs }]) =>
          `${count} ${kind} at ${seconds(firstMs)}..${seconds(lastMs)} s`,
      )
      .join(', ');
  }

  #isIn(at: number, { fromMs = -1, toMs = Infinity, model, client }: Stretch): boolean {
    const due = this.#due[at] ?? 0;
    if (due < fromMs || due >= toMs) return false;
    if (client !== undefined && this.#client[at] !== client) return false;
    return model === undefined || model(this.#model[at] ?? 0);
  }

  #grow(): void {
    this.#room *= 2;
    const room = this.#room;
    const into = <T extends { set(from: T): void }>(larger: T, from: T): T => {
      larger.set(from);
      return larger;
    };
    this.#due = into(new Float64Array(room), this.#due);
    this.#tookMs = into(new Float32Array(room), this.#tookMs);
    this.#code = into(new Uint8Array(room), this.#code);
    this.#isWrong = into(new Uint8Array(room), this.#isWrong);
    this.#model = into(new Uint16Array(room), this.#model);
    this.#client = into(new Uint8Array(room), this.#client);
  }
}

/** What those shares of all are at most; undefined of none. */
function sharesOf(values: readonly number[], shares: readonly number[]) {
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => sorted[Math.min(sorted.length - 1, sorted.length * share) | 0]);
}
