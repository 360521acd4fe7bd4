// Which header lists are well-formed: RFC 9113 sections 8.1 to 8.3. A list that is not resets its
// stream, however harmless it looks: what one end lets through, the next may read differently.
import { type HeaderField, headerField } from '../hpack/header-field.ts';

/** What is wrong with a list, in words; or its content-length, -1 without one. */
export type HeaderVerdict = string | number;

/** 1 for the characters that a field's name may have: RFC 9110 tokens in lower case. */
const NAME_CHARACTERS = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  NAME_CHARACTERS[character.charCodeAt(0)] = 1;
}
const COLON = 0x3a;
const LONGEST_LENGTH_DIGITS = 15;

/** Of a connection, not of a message: RFC 9113, 8.2.2. */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const NONE = headerField('', '');

export function checkRequest(fields: readonly HeaderField[]): HeaderVerdict {
  let [method, scheme, path, authority] = [NONE, NONE, NONE, NONE];
  let at = 0;
  for (; at < fields.length; at++) {
    const field = fields[at] ?? NONE;
    if (field.name.charCodeAt(0) !== COLON) break;
    if (!isValue(field.value)) return `a value of ${field.name} holds what no value may`;
    switch (field.name) {
      case ':method':
        if (method !== NONE) return 'two :method';
        method = field;
        break;
      case ':scheme':
        if (scheme !== NONE) return 'two :scheme';
        scheme = field;
        break;
      case ':path':
        if (path !== NONE) return 'two :path';
        path = field;
        break;
      case ':authority':
        if (authority !== NONE) return 'two :authority';
        authority = field;
        break;
      default:
        return 'a pseudo-header field that a request does not have';
    }
  }
  if (method.value === '') return 'no :method';
  if (method.value === 'CONNECT') {
    if (scheme !== NONE || path !== NONE) return 'CONNECT has neither :scheme nor :path';
    if (authority === NONE) return 'CONNECT without :authority';
  } else if (scheme.value === '') return 'no :scheme';
  else if (path.value === '') return 'no :path';
  return checkFields(fields, at);
}

export function checkResponse(fields: readonly HeaderField[]): HeaderVerdict {
  const status = fields[0] ?? NONE;
  if (status.name !== ':status') return 'a response starts with :status';
  const number = decimalOf(status.value);
  if (status.value.length !== 3 || number < 100) return 'a :status that is not three digits';
  if (status.value === '101') return 'HTTP/2 has no 101';
  return checkFields(fields, 1);
}

/** Of a list that checkResponse() let through. */
export function statusOf(fields: readonly HeaderField[]): number {
  return Number(fields[0]?.value ?? 0);
}

export function checkTrailers(fields: readonly HeaderField[]): HeaderVerdict {
  return checkFields(fields, 0);
}

/** The fields from `from` on, which are no pseudo-header fields any more. */
function checkFields(fields: readonly HeaderField[], from: number): HeaderVerdict {
  let contentLength = -1;
  for (let at = from; at < fields.length; at++) {
    const { name, value } = fields[at] ?? NONE;
    if (!isName(name)) {
      if (name.charCodeAt(0) === COLON) return 'a pseudo-header field where none may be';
      return "a field's name holds what no name may";
    }
    if (!isValue(value)) return `a value of ${name} holds what no value may`;
    if (name.length > 17) continue;
    if (CONNECTION_FIELDS.has(name)) return `${name} is for connections, not for HTTP/2`;
    if (name === 'te' && value !== 'trailers') return 'te says something else than trailers';
    if (name === 'content-length') {
      const length = decimalOf(value);
      if (length < 0) return 'a content-length that is no number';
      if (contentLength >= 0 && length !== contentLength) return 'two content-lengths that differ';
      contentLength = length;
    }
  }
  return contentLength;
}

function isName(name: string): boolean {
  const length = name.length;
  if (length === 0) return false;
  for (let i = 0; i < length; i++) {
    if (NAME_CHARACTERS[name.charCodeAt(i)] !== 1) return false;
  }
  return true;
}

/** No NUL, CR or LF anywhere, no space or tab at either end: RFC 9113, 8.2.1. */
export function isValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code <= 13 && (code === 0 || code === 10 || code === 13)) return false;
  }
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(length - 1));
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function decimalOf(value: string): number {
  if (value.length === 0 || value.length > LONGEST_LENGTH_DIGITS) return -1;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return -1;
  }
  return Number(value);
}
