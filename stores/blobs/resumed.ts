// A transfer that breaks goes on where it broke: what has come is not asked for again. Whether the
// pieces are one blob is seen by the hash over all of them (verified.ts).
import type { Clock } from '../../common/clock.ts';
import { Code, hasCode } from '../../common/status.ts';
import type { BlobReader } from './blobs.ts';

/** So many attempts in a row may bring nothing before the error is told, some 6 s in all. */
export const MAX_FRUITLESS_RESUMES = 5;
/** Before the first of them; doubles with each. */
export const RESUME_PAUSE_MS = 200;

/**
 * The blob's bytes, read again from where they ended when the store becomes UNAVAILABLE. A store
 * that gives nothing from the start is not waited for: that is for who wants the blob to decide.
 * @throws as BlobReader.read
 */
export async function* resumed(
  blobs: BlobReader,
  sha256: string,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  let startByte = 0;
  let fruitless = 0;
  for (;;) {
    try {
      for await (const chunk of blobs.read(sha256, { startByte })) {
        startByte += chunk.length;
        fruitless = 0;
        yield chunk;
      }
      return;
    } catch (error) {
      const isOver = startByte === 0 || fruitless >= MAX_FRUITLESS_RESUMES;
      if (isOver || !hasCode(error, Code.UNAVAILABLE)) throw error;
    }
    const pauseMs = RESUME_PAUSE_MS * 2 ** fruitless;
    fruitless += 1;
    await new Promise<void>((resolve) => {
      clock.after(pauseMs, resolve);
    });
  }
}
