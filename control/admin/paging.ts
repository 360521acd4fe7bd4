// Pages of lists: a page ends with a token that says after which item the next one starts, so items
// that come and go meanwhile make none be shown twice or left out.
import { invalidArgument } from '../../common/status.ts';
import { MAX_LIST_DOCUMENTS } from '../../stores/documents/documents.ts';

export const DEFAULT_PAGE_SIZE = 50;
/** Larger pages are cut to it. */
export const MAX_PAGE_SIZE = 1_000;
const MAX_TOKEN_CHARACTERS = 1_024;

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** @throws INVALID_ARGUMENT for a negative one. */
export function pageSizeOf(request: PageRequest): number {
  if (request.pageSize < 0) {
    throw invalidArgument(
      `page_size ${request.pageSize} must be 0 (for ${DEFAULT_PAGE_SIZE}) or more`,
    );
  }
  return request.pageSize === 0 ? DEFAULT_PAGE_SIZE : Math.min(request.pageSize, MAX_PAGE_SIZE);
}

export function encodeToken(after: string): string {
  return Buffer.from(after, 'utf8').toString('base64url');
}

/** '' at the start. @throws INVALID_ARGUMENT for what is no token of ours. */
export function decodeToken(token: string): string {
  if (token === '') return '';
  const after = Buffer.from(token, 'base64url').toString('utf8');
  if (token.length > MAX_TOKEN_CHARACTERS || encodeToken(after) !== token) {
    throw invalidArgument('page_token is none that an earlier page gave: start without one');
  }
  return after;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** '' after the last page. */
  readonly nextPageToken: string;
}

/**
 * A page of a list in memory. `keyOf` differs between items; the list is ordered by it, falling.
 */
export function pageNewestFirst<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  request: PageRequest,
): Page<T> {
  const after = decodeToken(request.pageToken);
  const size = pageSizeOf(request);
  const sorted = [...items].sort((a, b) => (keyOf(a) < keyOf(b) ? 1 : -1));
  const rest = after === '' ? sorted : sorted.filter((item) => keyOf(item) < after);
  return cut(rest, keyOf, size);
}

function cut<T>(items: readonly T[], keyOf: (item: T) => string, size: number): Page<T> {
  const page = items.slice(0, size);
  const last = page.at(-1);
  const isLast = items.length <= size || last === undefined;
  return { items: page, nextPageToken: isLast ? '' : encodeToken(keyOf(last)) };
}

/**
 * A page of documents, ordered by key; one more than asked for is read to see whether it is last.
 */
export async function pageByKey<T extends { readonly key: string }>(
  request: PageRequest,
  list: (range: { after: string; limit: number }) => Promise<readonly T[]>,
): Promise<Page<T>> {
  const after = decodeToken(request.pageToken);
  // The store gives no more than that, so the largest page is one document smaller.
  const size = Math.min(pageSizeOf(request), MAX_LIST_DOCUMENTS - 1);
  return cut(await list({ after, limit: size + 1 }), ({ key }) => key, size);
}
