// What a document may be, asked by every document store in the same way before it writes or lists.
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import { type ListOptions, MAX_DOCUMENT_BYTES, MAX_LIST_DOCUMENTS } from './documents.ts';

/** Kind or key, in UTF-8. Longer: INVALID_ARGUMENT. Both fit an index entry of every database. */
export const MAX_KEY_BYTES = 1_024;

/** Text that every database can keep and order by code point: not empty, no NUL, well-formed. */
export function isKey(text: string): boolean {
  return (
    text.length > 0 &&
    text.length <= MAX_KEY_BYTES &&
    Buffer.byteLength(text) <= MAX_KEY_BYTES &&
    !text.includes('\0') &&
    text.isWellFormed()
  );
}

/** @throws INVALID_ARGUMENT */
export function checkKey(what: 'kind' | 'key', text: string): void {
  if (isKey(text)) return;
  throw invalidArgument(
    `document ${what} ${JSON.stringify(text.slice(0, 64))} is not allowed: it must be ` +
      `well-formed text of 1 to ${MAX_KEY_BYTES} bytes without NUL`,
  );
}

export function checkRevision(expectedRevision: number, least: 0 | 1): void {
  if (Number.isSafeInteger(expectedRevision) && expectedRevision >= least) return;
  throw invalidArgument(
    `expected revision ${expectedRevision} is not allowed: it must be a whole number from ${least}`,
  );
}

/** The body as JSON text. Properties that are undefined are left out, as JSON does. */
export function bodyText(kind: string, key: string, body: unknown): string {
  const text = stringify(kind, key, body);
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes <= MAX_DOCUMENT_BYTES) return text;
  throw new StatusError(
    Code.RESOURCE_EXHAUSTED,
    `document ${kind}/${key} has ${sizeBytes} bytes, the limit is ${MAX_DOCUMENT_BYTES}: ` +
      'large content belongs into a blob',
  );
}

function stringify(kind: string, key: string, body: unknown): string {
  const refuse = (why: string) => invalidArgument(`document ${kind}/${key} is no JSON: ${why}`);
  let text: string | undefined;
  try {
    text = JSON.stringify(body, (name, value: unknown) => {
      if (typeof value !== 'number' || Number.isFinite(value)) return value;
      throw refuse(`${name} is ${value}`);
    });
  } catch (thrown) {
    if (thrown instanceof StatusError) throw thrown;
    // A bigint or a cycle: JSON.stringify says which.
    throw refuse(thrown instanceof Error ? thrown.message : String(thrown));
  }
  if (text === undefined) throw refuse(`it is ${typeof body}`);
  return text;
}

export interface ListRange {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
}

/** @throws INVALID_ARGUMENT for a limit outside 1 to MAX_LIST_DOCUMENTS. */
export function listRange(options: ListOptions | undefined): ListRange {
  const { prefix = '', after = '', limit = MAX_LIST_DOCUMENTS } = options ?? {};
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIST_DOCUMENTS) {
    return { prefix, after, limit };
  }
  throw invalidArgument(
    `list limit ${limit} is not allowed: it must be 1 to ${MAX_LIST_DOCUMENTS}`,
  );
}

export function revisionConflict(kind: string, key: string, expectedRevision: number): StatusError {
  const expected = expectedRevision === 0 ? 'none' : `revision ${expectedRevision}`;
  return new StatusError(
    Code.ABORTED,
    `document ${kind}/${key} was changed by another writer (${expected} expected): read it again`,
  );
}
