// Who reads a blob checks that it is what its name says: disks and networks damage bytes silently.
import { createHash } from 'node:crypto';
import { Code, StatusError } from '../../common/status.ts';

export interface Expected {
  readonly sha256: string;
  /** For messages: "file 'model.onnx'". Default: 'the blob'. */
  readonly what?: string;
  /** More bytes are not what was expected either. Default: no limit. */
  readonly maxBytes?: number;
}

/**
 * The source's bytes, hashed on their way. They come before their hash is known: use them only once
 * the stream has ended. @throws DATA_LOSS for more than `maxBytes`, and at the end for another hash
 */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  { sha256, what = 'the blob', maxBytes = Number.POSITIVE_INFINITY }: Expected,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of source) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new StatusError(Code.DATA_LOSS, `${what} is longer than ${maxBytes} bytes`);
    }
    hash.update(chunk);
    yield chunk;
  }
  const found = hash.digest('hex');
  if (found === sha256) return;
  throw new StatusError(
    Code.DATA_LOSS,
    `${what} has SHA-256 ${found}, expected was ${sha256}: it was damaged on its way`,
  );
}
