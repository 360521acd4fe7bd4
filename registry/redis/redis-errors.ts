// What Redis and its client say, as the one error of the system. Nothing of a command goes into a
// message but its keys: arguments may be secrets or megabytes.
import { Code, failedPrecondition, StatusError, unavailable } from '../../common/status.ts';

/** First words of replies that pass when a server starts, fails over or moves slots. */
const PASSING =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|NOREPLICAS|NOSCRIPT)\b/;
const MAX_SHOWN_CHARACTERS = 200;

/** @param where the address without secrets */
export function redisError(thrown: unknown, where: string, keys: readonly string[]): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const said = text.slice(0, MAX_SHOWN_CHARACTERS);
  if (isReply(thrown)) return replyError(said, where, keys);
  return unavailable(`the registry at ${where} can not be reached: ${said}`);
}

function isReply(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'ReplyError';
}

function replyError(said: string, where: string, keys: readonly string[]): StatusError {
  const code = /^(?:-?ERR )?([A-Z]+)\b/.exec(said)?.[1] ?? '';
  if (PASSING.test(said)) return unavailable(`the registry at ${where} is not ready: ${said}`);
  if (/compiling script/.test(said)) {
    const needed = 'it needs Redis 7.0 or later, or Valkey';
    return failedPrecondition(`the registry at ${where} can not run its scripts: ${needed}`);
  }
  switch (code) {
    case 'OOM':
      return new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `the registry at ${where} takes no more: its maxmemory is reached; give it more ` +
          '(and maxmemory-policy noeviction)',
      );
    case 'MISCONF':
      return new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `the registry at ${where} can't save: ${said}`,
      );
    case 'NOAUTH':
    case 'WRONGPASS':
      return new StatusError(
        Code.UNAUTHENTICATED,
        `the registry at ${where} refuses the user or the password of its address`,
      );
    case 'NOPERM':
      return new StatusError(Code.PERMISSION_DENIED, `the registry at ${where}: ${said}`);
    case 'WRONGTYPE':
      return corrupt(keys, 'one of them holds another kind of value');
    default:
      return new StatusError(Code.INTERNAL, `the registry at ${where}: ${said}`);
  }
}

/** A value that this program did not write. All that is there can be told again. */
export function corrupt(keys: readonly string[], what: string): StatusError {
  const shown = keys.map((key) => `'${key}'`).join(', ');
  return new StatusError(
    Code.DATA_LOSS,
    `Redis key ${shown}: ${what}; delete it: what was there is told again`,
  );
}
