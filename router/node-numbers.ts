// Numbers for node ids, so that tables of many copies name a node in two bytes. A number is given
// anew once nobody names its node any more.
import { Code, StatusError } from '../common/status.ts';

/** Two bytes. Six times the nodes that a registry takes; more are refused. */
export const MAX_NUMBERED_NODES = 65_536;
/** So many more than at the last sweep, and the unused ones are looked for. */
const SWEEP_AFTER = 1_024;

export class NodeNumbers {
  readonly #byId = new Map<string, number>();
  readonly #ids: (string | undefined)[] = [];
  #free: number[] = [];
  #sweepAbove = SWEEP_AFTER;

  /** @throws RESOURCE_EXHAUSTED */
  of(id: string): number {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const number = this.#free.pop() ?? this.#ids.length;
    if (number >= MAX_NUMBERED_NODES) {
      throw new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `the assignment and the copies name ${MAX_NUMBERED_NODES} nodes, which is the most`,
      );
    }
    this.#byId.set(id, number);
    this.#ids[number] = id;
    return number;
  }

  id(number: number): string {
    return this.#ids[number] ?? '';
  }

  find(id: string): number | undefined {
    return this.#byId.get(id);
  }

  /** Gives back the numbers that are not told of, if there may be many. */
  sweep(tellUsed: (tell: (number: number) => void) => void): void {
    if (this.#byId.size <= this.#sweepAbove) return;
    const used = new Uint8Array(this.#ids.length);
    tellUsed((number) => {
      used[number] = 1;
    });
    for (const [id, number] of this.#byId) {
      if (used[number] === 1) continue;
      this.#byId.delete(id);
      this.#ids[number] = undefined;
      this.#free.push(number);
    }
    this.#sweepAbove = 2 * this.#byId.size + SWEEP_AFTER;
  }
}
