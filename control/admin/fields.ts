// Plain fields of the admin API's messages, both ways: times, numbers, enums, etags. Everything
// that a caller can get wrong is checked here or where it is used, and said in the API's own words.
import { isSha256 } from '../../common/names.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';

export const MAX_DESCRIPTION_CHARACTERS = 4_096;
export const MAX_LABELS = 64;
export const MAX_LABEL_CHARACTERS = 256;

export function dateOf(ms: number): Date {
  return new Date(ms);
}

/** @throws INVALID_ARGUMENT unless it is a whole number from `min` that is exact. */
export function numberOf(field: string, value: bigint, min: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= min) return number;
  throw invalidArgument(`${field} ${value} must be a whole number from ${min} to 2^53-1`);
}

export function etagOf(revision: number): string {
  return String(revision);
}

/**
 * Undefined: whatever is stored. @throws ABORTED for what is no etag of ours: it can't be current.
 */
export function revisionOf(etag: string): number | undefined {
  if (etag === '') return undefined;
  if (/^[0-9]{1,15}$/.test(etag)) return Number(etag);
  throw new StatusError(
    Code.ABORTED,
    `etag ${JSON.stringify(etag.slice(0, 64))} is not the stored one: read it again`,
  );
}

export function descriptionOf(text: string): string {
  if (text.length <= MAX_DESCRIPTION_CHARACTERS) return text;
  throw invalidArgument(
    `description has ${text.length} characters, the most are ${MAX_DESCRIPTION_CHARACTERS}`,
  );
}

export function labelsOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) {
    throw invalidArgument(`${entries.length} labels were given, the most are ${MAX_LABELS}`);
  }
  for (const [key, value] of entries) {
    if (key.length <= MAX_LABEL_CHARACTERS && value.length <= MAX_LABEL_CHARACTERS) continue;
    throw invalidArgument(
      `label ${JSON.stringify(key.slice(0, 64))} or its value is longer than ` +
        `${MAX_LABEL_CHARACTERS} characters`,
    );
  }
  return Object.fromEntries(entries);
}

export function sha256Of(field: string, text: string): string {
  if (isSha256(text)) return text;
  throw invalidArgument(
    `${field} ${JSON.stringify(text.slice(0, 80))} must be 64 lower-case hexadecimal digits`,
  );
}

/** Words of ours for those of the wire; `UNRECOGNIZED` and what has none is INVALID_ARGUMENT. */
export function fromEnum<W extends string, O>(
  field: string,
  words: Readonly<Partial<Record<W, O>>>,
  value: W,
): O {
  const own = words[value];
  if (own !== undefined) return own;
  throw invalidArgument(`${field} must be one of ${Object.keys(words).join(', ')}`);
}
