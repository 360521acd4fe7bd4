// What a store does with content on its way in, whatever it keeps it in: count it, hash it, and
// refuse what is too much or not what was announced, before any of it can be seen.
import { createHash } from 'node:crypto';
import { abortable } from '../../common/abortable.ts';
import type { BlobInfo, BlobWriteOptions } from './blobs.ts';
import { blobTooLarge, checkWriteOptions, hashMismatch } from './limits.ts';

export class Intake {
  readonly #options: BlobWriteOptions;
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;
  #info: BlobInfo | undefined;

  /** @throws INVALID_ARGUMENT for options that make no sense */
  constructor(options: BlobWriteOptions) {
    checkWriteOptions(options);
    this.#options = options;
  }

  /**
   * The source in blocks of `blockBytes`, the last one shorter or empty. Holds one block.
   * @throws RESOURCE_EXHAUSTED, at the end DATA_LOSS, the signal's reason, what the source throws;
   * the source is left then
   */
  async *blocks(
    source: AsyncIterable<Uint8Array>,
    blockBytes: number,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    let held: Uint8Array[] = [];
    let heldBytes = 0;
    for await (const chunk of abortable(source, signal)) {
      this.#take(chunk);
      let rest = chunk;
      while (heldBytes + rest.length >= blockBytes) {
        const cut = blockBytes - heldBytes;
        held.push(rest.subarray(0, cut));
        yield Buffer.concat(held);
        [held, heldBytes, rest] = [[], 0, rest.subarray(cut)];
      }
      if (rest.length === 0) continue;
      held.push(rest);
      heldBytes += rest.length;
    }
    this.#end();
    yield Buffer.concat(held);
  }

  /** What came in, once all of it has. */
  get info(): BlobInfo {
    if (this.#info === undefined) throw new Error('the content is still coming in');
    return this.#info;
  }

  #take(chunk: Uint8Array): void {
    const { maxBytes } = this.#options;
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes > maxBytes) throw blobTooLarge(maxBytes);
    this.#hash.update(chunk);
  }

  #end(): void {
    const { expectedSha256 } = this.#options;
    const sha256 = this.#hash.digest('hex');
    if (expectedSha256 !== undefined && sha256 !== expectedSha256) {
      throw hashMismatch(expectedSha256, sha256);
    }
    this.#info = { sha256, sizeBytes: this.#sizeBytes };
  }
}
