// Where the descriptors of all our contracts are, which reflection answers from.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const PATH = join(import.meta.dirname, '..', '..', 'proto', 'gen', 'descriptors.binpb');

/** A serialized google.protobuf.FileDescriptorSet, imports included. */
export function readDescriptors(): Uint8Array {
  return readFileSync(PATH);
}
