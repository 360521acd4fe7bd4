// How many bytes a listener holds for its callers, all connections together. When that is too much,
// it is the connections that hold much that find no room: those that hold little are let through,
// so that a few that fill the memory don't shut out the rest.

/** A connection that would hold no more than this always has room. */
export const FAIR_BYTES = 64 * 1024;

export class ByteBudget {
  readonly maxBytes: number;
  /** Held now; changed by who holds them. */
  heldBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** @param ownBytes what the connection that asks holds already. */
  hasRoom(ownBytes: number, moreBytes: number): boolean {
    return this.heldBytes + moreBytes <= this.maxBytes || ownBytes + moreBytes <= FAIR_BYTES;
  }
}
