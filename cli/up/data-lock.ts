// One process at a time opens a data folder. The lock is sqlite's own lock on a file in it: the
// system lets go of it when the process ends in any way, so a crash never leaves a stale lock
// behind.
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Code, StatusError } from '../../common/status.ts';

export interface DataLock {
  release(): void;
}

/**
 * Makes the folder when it is not there, and locks it.
 * @throws FAILED_PRECONDITION when another process holds it, PERMISSION_DENIED or
 *   RESOURCE_EXHAUSTED when it can't be written.
 */
export function lockDataFolder(folder: string): DataLock {
  const file = join(folder, 'lock');
  const holder = join(folder, 'lock.pid');
  try {
    makeFolder(resolve(folder));
    const database = new DatabaseSync(file);
    try {
      database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    } catch (cause) {
      database.close();
      throw cause;
    }
    writeFileSync(holder, `${process.pid}\n`);
    return { release: () => database.close() };
  } catch (cause) {
    throw translate(cause, folder, holder);
  }
}

/**
 * As mkdirSync with `recursive`, which goes round for ever (seen with Node 24) where the system
 * says ENOENT although the folder above is there, as in /proc.
 */
function makeFolder(folder: string): void {
  const above = dirname(folder);
  if (above !== folder && !existsSync(above)) makeFolder(above);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    if (!existsSync(folder) || !statSync(folder).isDirectory()) throw cause;
  }
}

function translate(cause: unknown, folder: string, holder: string): StatusError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const code = (cause as { code?: string }).code ?? '';
  if (/locked|busy/i.test(text)) {
    return new StatusError(
      Code.FAILED_PRECONDITION,
      `data folder ${folder} is in use by process ${holderOf(holder)}: stop that one first, or ` +
        'give this one a folder of its own with --data DIR',
      { cause },
    );
  }
  if (code === 'ENOSPC' || /full/i.test(text)) {
    const message = `data folder ${folder}: the disk is full; free some space and start again`;
    return new StatusError(Code.RESOURCE_EXHAUSTED, message, { cause });
  }
  return new StatusError(
    Code.PERMISSION_DENIED,
    `data folder ${folder} can't be written (${text}): give a folder that can with --data DIR`,
    { cause },
  );
}

function holderOf(holder: string): string {
  try {
    return readFileSync(holder, 'utf8').trim() || 'unknown';
  } catch {
    return 'unknown';
  }
}
