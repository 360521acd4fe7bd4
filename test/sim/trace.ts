// What happened, as a number and, when wanted, as lines: two runs of a seed are the same when their
// numbers are.

const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

export class Trace {
  #hash = OFFSET_BASIS;
  readonly #nowMs: () => number;
  readonly #write: ((line: string) => void) | undefined;

  /** @param write undefined: nobody wants the lines */
  constructor(nowMs: () => number, write?: (line: string) => void) {
    this.#nowMs = nowMs;
    this.#write = write;
  }

  get isShown(): boolean {
    return this.#write !== undefined;
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  note(who: string, what: string, detail = ''): void {
    const nowMs = this.#nowMs();
    this.#mix(Math.floor(nowMs * 1_000));
    this.#mixText(who);
    this.#mixText(what);
    this.#mixText(detail);
    this.show(who, what, detail);
  }

  /** For people only: not in the number. */
  show(who: string, what: string, detail = ''): void {
    if (this.#write === undefined) return;
    const time = this.#nowMs().toFixed(1).padStart(9);
    this.#write(`${time} ${who.padEnd(10)} ${what}${detail === '' ? '' : ` ${detail}`}`);
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value & 0xffff), PRIME);
    this.#hash = Math.imul(this.#hash ^ (value >>> 16), PRIME);
  }

  #mixText(text: string): void {
    let hash = this.#hash;
    for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME);
    this.#hash = hash;
  }
}
