// DuckDB tells errors by their text alone. This says what they mean. Its texts name files of this
// machine, which are not told: only who opens the file is told its path.
import { dirname } from 'node:path';
import { Code, StatusError, statusOf } from '../../common/status.ts';

const MEANINGS: readonly (readonly [RegExp, Code, string])[] = [
  [
    /could not set lock|conflicting lock/i,
    Code.FAILED_PRECONDITION,
    'another process has it open, and only one can: stop that one, or ask it instead',
  ],
  [
    /no space left|file too large|disk quota|disk is full/i,
    Code.RESOURCE_EXHAUSTED,
    'the disk is full',
  ],
  [
    /out of memory|could not allocate block|failed to pin block/i,
    Code.RESOURCE_EXHAUSTED,
    'it needs more memory than it may take',
  ],
  [/permission denied/i, Code.PERMISSION_DENIED, 'this user may not read or write there'],
  [/read-only file system/i, Code.PERMISSION_DENIED, 'the file system is read-only'],
  [/newer version/i, Code.FAILED_PRECONDITION, 'a newer version of DuckDB wrote it'],
  [
    /is a directory|not a directory/i,
    Code.FAILED_PRECONDITION,
    'a folder is where a file should be',
  ],
  [
    /not a valid duckdb|corrupt|checksum/i,
    Code.DATA_LOSS,
    'the file is damaged or no data set file',
  ],
  [/has been invalidated/i, Code.UNAVAILABLE, 'a fatal error closed it: try again'],
];

/** @param doing to be read after "cannot": 'append rows to data set a'. */
export function duckdbError(thrown: unknown, doing: string, path: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const message = statusOf(thrown).message;
  const known = MEANINGS.find(([pattern]) => pattern.test(message));
  const hidden = message.replaceAll(dirname(path), '(the data folder)');
  const [code, why] = known === undefined ? [Code.INTERNAL, hidden] : [known[1], known[2]];
  return new StatusError(code, `cannot ${doing}: ${why}`, { cause: thrown });
}

/** After such an error DuckDB refuses everything until the file is opened again. */
export function isFatal(thrown: unknown): boolean {
  return /FATAL Error|INTERNAL Error|has been invalidated/.test(statusOf(thrown).message);
}
