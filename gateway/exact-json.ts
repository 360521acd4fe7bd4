// JSON with integers past 2^53 unchanged: what ECMAScript has for it (source text of a parsed
// value, raw JSON when printing) lacks types in the library that the compiler knows.

/** Text that JSON.stringify prints as it is. */
export interface RawJson {
  readonly rawJSON: string;
}

interface JsonWithSource {
  rawJSON(text: string): RawJson;
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
}

const exact = JSON as unknown as JsonWithSource;

/** @param text one JSON number, string, true, false or null. @throws SyntaxError otherwise. */
export function rawJson(text: string): RawJson {
  return exact.rawJSON(text);
}

/** Longest integer that may still fit 64 bits: more digits stay an inexact number. */
const LONG_INTEGER = /^-?\d{16,20}$/;
/** An integer that a double may not hold, standing as a value. */
const HAS_LONG_INTEGER = /(?:^|[[,:\s])-?\d{16,20}(?=[\s,\]}]|$)/;

/**
 * JSON.parse, but integers beyond the safe range (and of at most 20 digits) are bigints.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  if (!HAS_LONG_INTEGER.test(text)) return JSON.parse(text) as unknown;
  return exact.parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    return source !== undefined && LONG_INTEGER.test(source) ? BigInt(source) : value;
  });
}
