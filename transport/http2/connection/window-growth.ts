// Windows that grow for streams whose owner takes what comes. Each stream begins with a window so
// small that those of all streams fit into the connection's: then a stream that nobody reads never
// keeps the others waiting. One that is read is given more, out of a store that all share.
import type { Stream } from './stream.ts';

export class WindowGrowth {
  readonly #initialBytes: number;
  readonly #mostBytes: number;
  #leftBytes: number;

  /**
   * @param initialBytes of every stream
   * @param mostBytes one stream's window grows no further
   * @param storeBytes what all windows have grown by stays under this; 0: none grows
   */
  constructor(initialBytes: number, mostBytes: number, storeBytes: number) {
    this.#initialBytes = initialBytes;
    this.#mostBytes = mostBytes;
    this.#leftBytes = storeBytes;
  }

  /** Of the store. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** Half of the stream's window was consumed: how much more than that to give back. */
  grow(stream: Stream): number {
    const { windowBytes } = stream;
    const moreBytes = Math.min(windowBytes, this.#mostBytes - windowBytes, this.#leftBytes);
    if (moreBytes <= 0) return 0;
    stream.windowBytes += moreBytes;
    this.#leftBytes -= moreBytes;
    return moreBytes;
  }

  /** The stream is gone. */
  release(stream: Stream): void {
    this.#leftBytes += stream.windowBytes - this.#initialBytes;
    stream.windowBytes = this.#initialBytes;
  }
}
