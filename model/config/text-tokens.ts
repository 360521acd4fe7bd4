// Cuts protobuf text format into tokens, as its specification (protobuf.dev, "Text Format Language
// Specification") says. Errors name line and column, both from 1.
import { invalidArgument, type StatusError } from '../../common/status.ts';

export type TokenKind = 'identifier' | 'number' | 'string' | 'symbol' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** As it stands in the text; of a string, quotes included. */
  readonly text: string;
  /** Index of its first UTF-16 unit. */
  readonly start: number;
}

const BLANK = /(?:[ \n\t\v\f\r]+|#[^\n]*)*/y;
const IDENTIFIER = /[A-Za-z_][A-Za-z0-9_]*/y;
/** Hexadecimal, or decimal with fraction and exponent (octal is a decimal that starts with 0). */
const NUMBER = /0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?/y;
const STRING = /"(?:[^"\\\n\0]|\\[^\n\0])*"|'(?:[^'\\\n\0]|\\[^\n\0])*'/y;
const SYMBOLS = new Set(':{}<>[],;-');
const GLUED = /[A-Za-z0-9_.]/;

export class Tokens {
  readonly #text: string;
  readonly #title: string;
  #at = 0;
  #peeked: Token | undefined;

  /** @param title names the text in errors: 'config.pbtxt'. */
  constructor(text: string, title: string) {
    this.#text = text;
    this.#title = title;
  }

  peek(): Token {
    this.#peeked ??= this.#cut();
    return this.#peeked;
  }

  next(): Token {
    const token = this.peek();
    this.#peeked = undefined;
    return token;
  }

  /** Takes the next token when it is this symbol. */
  take(symbol: string): boolean {
    const token = this.peek();
    if (token.kind !== 'symbol' || token.text !== symbol) return false;
    this.#peeked = undefined;
    return true;
  }

  /** Takes the next token, which must be of this kind. */
  expect(kind: TokenKind, what: string): Token {
    const token = this.next();
    if (token.kind !== kind) throw this.error(token, `expected ${what}, found ${shown(token)}`);
    return token;
  }

  error(token: Token, reason: string): StatusError {
    return this.#errorAt(token.start, reason);
  }

  #cut(): Token {
    this.#at += this.#match(BLANK).length;
    const start = this.#at;
    const first = this.#text[start];
    if (first === undefined) return { kind: 'end', text: '', start };
    if (SYMBOLS.has(first)) return this.#token('symbol', first);
    if (first === '"' || first === "'") {
      const text = this.#match(STRING);
      if (text === '') throw this.#errorAt(start, 'a string does not end on its line');
      return this.#token('string', text);
    }
    const identifier = this.#match(IDENTIFIER);
    if (identifier !== '') return this.#token('identifier', identifier);
    const number = this.#match(NUMBER);
    if (number === '') {
      throw this.#errorAt(start, `${JSON.stringify(this.#character(start))} means nothing here`);
    }
    if (GLUED.test(this.#text[start + number.length] ?? '')) {
      throw this.#errorAt(start, `${number}${this.#text[start + number.length]}... is no number`);
    }
    return this.#token('number', number);
  }

  #token(kind: TokenKind, text: string): Token {
    const start = this.#at;
    this.#at += text.length;
    return { kind, text, start };
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? '';
  }

  #character(at: number): string {
    return String.fromCodePoint(this.#text.codePointAt(at) ?? 0);
  }

  #errorAt(start: number, reason: string): StatusError {
    const before = this.#text.slice(0, start);
    const line = before.split('\n').length;
    const column = start - before.lastIndexOf('\n');
    return invalidArgument(`${this.#title}, line ${line}, column ${column}: ${reason}`);
  }
}

/** How a token is called in an error. */
export function shown(token: Token): string {
  if (token.kind === 'end') return 'the end';
  const text = token.text.length > 40 ? `${token.text.slice(0, 40)}...` : token.text;
  return token.kind === 'string' ? `the string ${text}` : `'${text}'`;
}

const ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  '"': 34,
  "'": 39,
  '?': 63,
  '\\': 92,
};

const ESCAPE = /\\(?:([0-7]{1,3})|[xX]([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))/y;

/** The bytes that a string token stands for. Undefined: it has an escape that does not exist. */
export function unquote(quoted: string): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  const end = quoted.length - 1;
  for (let at = 1; at < end; ) {
    const slash = quoted.indexOf('\\', at);
    const stop = slash === -1 ? end : slash;
    if (stop > at) parts.push(Buffer.from(quoted.slice(at, stop), 'utf8'));
    if (slash === -1) break;
    ESCAPE.lastIndex = slash;
    const match = ESCAPE.exec(quoted);
    const bytes = match === null ? undefined : escaped(match);
    if (match === null || bytes === undefined) return undefined;
    parts.push(bytes);
    at = slash + match[0].length;
  }
  return Buffer.concat(parts);
}

function escaped([, octal, hex, short, long, character]: RegExpExecArray): Uint8Array | undefined {
  if (octal !== undefined || hex !== undefined) {
    const byte = octal === undefined ? Number.parseInt(hex ?? '', 16) : Number.parseInt(octal, 8);
    return byte > 255 ? undefined : Uint8Array.of(byte);
  }
  if (short !== undefined || long !== undefined) {
    const point = Number.parseInt(short ?? long ?? '', 16);
    const isCharacter = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return isCharacter ? Buffer.from(String.fromCodePoint(point), 'utf8') : undefined;
  }
  const byte = ESCAPES[character ?? ''];
  return byte === undefined ? undefined : Uint8Array.of(byte);
}
