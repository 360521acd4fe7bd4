// The static table of RFC 7541, appendix A: 61 entries, the same for everybody.
import type { HeaderField } from './header-field.ts';
import { headerField } from './header-field.ts';

const ENTRIES: readonly (readonly [name: string, value?: string])[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language'],
  ['accept-ranges'],
  ['accept'],
  ['access-control-allow-origin'],
  ['age'],
  ['allow'],
  ['authorization'],
  ['cache-control'],
  ['content-disposition'],
  ['content-encoding'],
  ['content-language'],
  ['content-length'],
  ['content-location'],
  ['content-range'],
  ['content-type'],
  ['cookie'],
  ['date'],
  ['etag'],
  ['expect'],
  ['expires'],
  ['from'],
  ['host'],
  ['if-match'],
  ['if-modified-since'],
  ['if-none-match'],
  ['if-range'],
  ['if-unmodified-since'],
  ['last-modified'],
  ['link'],
  ['location'],
  ['max-forwards'],
  ['proxy-authenticate'],
  ['proxy-authorization'],
  ['range'],
  ['referer'],
  ['refresh'],
  ['retry-after'],
  ['server'],
  ['set-cookie'],
  ['strict-transport-security'],
  ['transfer-encoding'],
  ['user-agent'],
  ['vary'],
  ['via'],
  ['www-authenticate'],
];

/** Entry 1 is at 0. */
export const STATIC_TABLE: readonly HeaderField[] = ENTRIES.map(([name, value]) =>
  headerField(name, value ?? ''),
);

export const STATIC_COUNT = STATIC_TABLE.length;

/** Where a name is, and which of its values are there. */
export interface StaticName {
  readonly index: number;
  readonly indexByValue: ReadonlyMap<string, number>;
}

function staticNames(): ReadonlyMap<string, StaticName> {
  const names = new Map<string, { index: number; indexByValue: Map<string, number> }>();
  STATIC_TABLE.forEach((field, at) => {
    const found = names.get(field.name) ?? { index: at + 1, indexByValue: new Map() };
    found.indexByValue.set(field.value, at + 1);
    names.set(field.name, found);
  });
  return names;
}

/** The static entries by name; indices are those of the wire, from 1. */
export const STATIC_NAMES = staticNames();
