// Names that people give: models, data sets, nodes. Checked once at the rim, so that inside the
// system a name is known to be harmless; paths are made of hashes all the same, never of names.
import { Code, StatusError } from './status.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** @throws INVALID_ARGUMENT naming what kind of name it was and what is allowed. */
export function checkName(kind: string, text: string): string {
  if (isName(text)) return text;
  const shown = JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text);
  throw new StatusError(
    Code.INVALID_ARGUMENT,
    `${kind} name ${shown} is not allowed: it must start with a letter or digit and hold at most ` +
      '128 letters, digits, dots, underscores and hyphens',
  );
}

/** So much of a name that a caller made up is repeated to it, and kept in logs. */
const SHOWN_NAME_CHARACTERS = 128;

export function shownName(text: string): string {
  return text.slice(0, SHOWN_NAME_CHARACTERS);
}

/** How answers about a model that is not there begin: Triton's words, which clients look for. */
export function requestForUnknownModel(model: string): string {
  return `Request for unknown model: '${shownName(model)}'`;
}

const SHA256 = /^[0-9a-f]{64}$/;

export function isSha256(text: string): boolean {
  return SHA256.test(text);
}

/** Largest version number: 2^53-1, so that it stays exact as a JavaScript number. */
const VERSION = /^[1-9][0-9]{0,15}$/;

/**
 * '' is undefined (the newest). @throws INVALID_ARGUMENT with the text that Triton's clients
 * know.
 */
export function parseVersion(text: string): number | undefined {
  if (text === '') return undefined;
  const version = VERSION.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(version)) return version;
  throw new StatusError(
    Code.INVALID_ARGUMENT,
    `failed to get model version from specified version string '${text.slice(0, 64)}' ` +
      '(details: stol), version should be an integral value > 0',
  );
}
