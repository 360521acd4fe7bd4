// Errors of the file system, in the system's own terms: what could not be done, where, and what
// would help. Stores on disk translate here, once. A whole path is for who starts the process; once
// it serves, messages go to its clients, and say only where in the store.
import { Code, StatusError, statusOf } from '../common/status.ts';

const CODES: Readonly<Record<string, readonly [Code, string]>> = {
  ENOSPC: [Code.RESOURCE_EXHAUSTED, 'the disk is full'],
  EDQUOT: [Code.RESOURCE_EXHAUSTED, 'the disk quota is used up'],
  EFBIG: [Code.RESOURCE_EXHAUSTED, 'the file would be larger than the system allows'],
  EMFILE: [Code.RESOURCE_EXHAUSTED, 'the process has too many open files'],
  ENFILE: [Code.RESOURCE_EXHAUSTED, 'the system has too many open files'],
  EACCES: [Code.PERMISSION_DENIED, 'this user may not read or write there'],
  EPERM: [Code.PERMISSION_DENIED, 'this user may not read or write there'],
  EROFS: [Code.PERMISSION_DENIED, 'the file system is read-only'],
  ENOTDIR: [Code.FAILED_PRECONDITION, 'a part of the path is a file, not a folder'],
  EISDIR: [Code.FAILED_PRECONDITION, 'it is a folder, not a file'],
  EEXIST: [Code.FAILED_PRECONDITION, 'a file stands where a folder should be'],
  ELOOP: [Code.FAILED_PRECONDITION, 'its links lead in a circle'],
  ENAMETOOLONG: [Code.FAILED_PRECONDITION, 'the name is longer than the system allows'],
  ENOENT: [Code.FAILED_PRECONDITION, 'it is not there (any more)'],
};

/** The `code` of a Node error ('ENOSPC'), '' for anything else. */
export function errnoOf(thrown: unknown): string {
  if (!(thrown instanceof Error) || !('code' in thrown)) return '';
  return typeof thrown.code === 'string' ? thrown.code : '';
}

/**
 * @param doing what failed, to be read after "cannot": 'write the blob'.
 * @param path what is told of the place; '' for nothing.
 */
export function diskError(thrown: unknown, doing: string, path: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const known = CODES[errnoOf(thrown)];
  // Node's own message has the path in it.
  const [code, why] = known ?? [Code.INTERNAL, errnoOf(thrown) || statusOf(thrown).message];
  const where = path === '' ? '' : ` at ${path}`;
  return new StatusError(code, `cannot ${doing}${where}: ${why}`, { cause: thrown });
}
