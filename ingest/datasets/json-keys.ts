// A key that an object has twice: JSON.parse takes the last one without a word, other readers the
// first, so the record is no good.
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN = new Set([0x5b, 0x7b]);
const CLOSE = new Set([0x5d, 0x7d]);

/**
 * The first key of the object itself, not of what is in it, that it has twice.
 * @param text JSON of an object, as JSON.parse has taken it
 * @param keyCount how many keys that gave
 */
export function repeatedKey(text: string, keyCount: number): string | undefined {
  // Each key has a colon of its own: as many colons as keys, and none is there twice.
  let colons = 0;
  for (let at = text.indexOf(':'); at >= 0; at = text.indexOf(':', at + 1)) colons += 1;
  if (colons === keyCount) return undefined;
  const seen = new Set<string>();
  let depth = 0;
  let isKey = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (OPEN.has(code)) {
      depth += 1;
      isKey = depth === 1;
    } else if (CLOSE.has(code)) depth -= 1;
    else if (code === COMMA) isKey = depth === 1;
    else if (code === COLON) isKey = false;
    else if (code === QUOTE) {
      const end = closingQuote(text, at);
      if (isKey) {
        const key = String(JSON.parse(text.slice(at, end + 1)));
        if (seen.has(key)) return key;
        seen.add(key);
      }
      at = end;
    }
  }
  return undefined;
}

function closingQuote(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
