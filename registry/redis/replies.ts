// The scripts' answers: a word, or a list that begins with one. Anything else is not from our
// scripts.
import { Code, StatusError } from '../../common/status.ts';
import { corrupt } from './redis-errors.ts';

/** @throws INTERNAL */
function unexpected(reply: unknown): StatusError {
  const shown = typeof reply === 'string' ? `'${reply.slice(0, 64)}'` : typeof reply;
  return new StatusError(Code.INTERNAL, `a script of the registry on Redis answered ${shown}`);
}

/** One of the words that the script's header names. */
export function word<W extends string>(reply: unknown, words: readonly W[]): W {
  const found = words.find((one) => one === reply);
  if (found === undefined) throw unexpected(reply);
  return found;
}

/** What follows 'ok'. @throws DATA_LOSS naming the keys when a limit was met */
export function list(reply: unknown, keys: readonly string[]): readonly string[] {
  const isList = Array.isArray(reply) && reply.every((one) => typeof one === 'string');
  if (!isList) throw unexpected(reply);
  const [first, ...rest]: readonly string[] = reply;
  switch (first) {
    case 'ok':
      return rest;
    case 'too_large':
      throw corrupt(
        keys,
        `'${(rest[0] ?? '').slice(0, 64)}' has ${rest[1]} bytes, which is too much`,
      );
    case 'too_many':
      throw corrupt(keys, `${rest[0]} entries are too many`);
    case 'corrupt':
      throw corrupt(keys, 'what stands there was not written by Torus');
    default:
      throw unexpected(first);
  }
}

/** [a, b, c, d, e, f] as [[a, b, c], [d, e, f]]. */
export function triples(flat: readonly string[]): readonly (readonly [string, string, string])[] {
  const all: [string, string, string][] = [];
  for (let at = 0; at + 2 < flat.length; at += 3) {
    all.push([flat[at] ?? '', flat[at + 1] ?? '', flat[at + 2] ?? '']);
  }
  return all;
}

export function pairs(flat: readonly string[]): readonly (readonly [string, string])[] {
  const all: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) all.push([flat[at] ?? '', flat[at + 1] ?? '']);
  return all;
}
