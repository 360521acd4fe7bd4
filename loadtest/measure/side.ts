// One side of a comparison: a server that runs, and the call that it is measured by.
import type { Contender } from '../contender.ts';

export interface Side {
  readonly name: string;
  readonly contender: Contender;
  readonly path: string;
  readonly message: Uint8Array;
  /** The same with gRPC's prefix, as a file. */
  readonly bodyFile: string;
  isRight(answer: Buffer): boolean;
  /** Answers with OK so far, as the server counts them; a proxy's are those of what is behind. */
  calls(): Promise<number>;
  /** Rows and runs of its models so far, where it tells them. */
  batches?(): Promise<readonly number[]>;
  /** PEM of its certificate, when it serves TLS. */
  readonly trusted?: Buffer;
}
