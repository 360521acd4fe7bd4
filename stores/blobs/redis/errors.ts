// What Redis and its client say of blobs, as the one error of the system. Nothing of a command goes
// into a message: its arguments are megabytes.
import { Code, StatusError, statusOf, unavailable } from '../../../common/status.ts';

/** By the first word of a reply. */
const REPLIES: Readonly<Record<string, readonly [Code, string]>> = {
  OOM: [Code.RESOURCE_EXHAUSTED, 'its maxmemory is reached: give it more, or remove versions'],
  MISCONF: [Code.RESOURCE_EXHAUSTED, 'it cannot save: its disk is full or fails'],
  NOAUTH: [Code.UNAUTHENTICATED, 'it wants a user and a password'],
  WRONGPASS: [Code.UNAUTHENTICATED, 'it refuses the user or the password'],
  NOPERM: [Code.PERMISSION_DENIED, 'its user may not do that'],
  WRONGTYPE: [Code.DATA_LOSS, 'another program has written over it: give it a server of its own'],
  READONLY: [Code.UNAVAILABLE, 'it is a replica'],
  MASTERDOWN: [Code.UNAVAILABLE, 'it is a replica'],
  LOADING: [Code.UNAVAILABLE, 'it is starting'],
  BUSY: [Code.UNAVAILABLE, 'it runs a long script'],
};
const MAX_SHOWN_CHARACTERS = 200;

/** @param doing to be read after "cannot": 'read a blob at redis://...' */
export function redisBlobsError(thrown: unknown, doing: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const said = statusOf(thrown).message.slice(0, MAX_SHOWN_CHARACTERS);
  const isReply = thrown instanceof Error && thrown.name === 'ReplyError';
  if (!isReply) return unavailable(`cannot ${doing}: it cannot be reached: ${said}`);
  const [code, why] = REPLIES[/^[A-Z]+/.exec(said)?.[0] ?? ''] ?? [Code.INTERNAL, said];
  return new StatusError(code, `cannot ${doing}: ${why}`);
}
