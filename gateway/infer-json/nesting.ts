// Whether lists inside lists are what a shape says. Data may be flat, or nested as its shape is;
// dimensions of one element may be left out or added. Ragged lists never pass.

export class Nesting {
  /** Elements of each list that is open, outermost first. */
  readonly #counts: number[] = [];
  /** Elements of the lists at each depth, once one has closed. */
  readonly #dims: number[] = [];
  #leafDepth = 0;
  #isRagged = false;

  get depth(): number {
    return this.#counts.length;
  }

  open(): void {
    this.#add(1);
    this.#counts.push(0);
  }

  /** Values, not lists, of the innermost list. */
  leaves(count: number): void {
    if (this.#leafDepth === 0) this.#leafDepth = this.depth;
    else if (this.#leafDepth !== this.depth) this.#isRagged = true;
    this.#add(count);
  }

  close(): void {
    const count = this.#counts.pop() ?? 0;
    const known = this.#dims[this.depth];
    if (known === undefined) this.#dims[this.depth] = count;
    else if (known !== count) this.#isRagged = true;
  }

  /** @param count elements that the shape has */
  fits(shape: readonly number[], count: number): boolean {
    if (this.#isRagged) return false;
    if (count === 0) return true;
    if (this.#leafDepth !== this.#dims.length) return false;
    const dims = withoutOnes(this.#dims);
    return dims.length <= 1 || isSame(dims, withoutOnes(shape));
  }

  #add(count: number): void {
    const last = this.#counts.length - 1;
    if (last >= 0) this.#counts[last] = (this.#counts[last] ?? 0) + count;
  }
}

function withoutOnes(dims: readonly number[]): readonly number[] {
  return dims.filter((dim) => dim !== 1);
}

function isSame(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((dim, at) => dim === other[at]);
}
