// Protobuf text format to protobuf bytes. From there the generated decoder makes the message, so
// that every field that the contracts know can be written in text. Follows protobuf.dev's "Text
// Format Language Specification"; extensions and Any are refused, as our contracts have none.
import { ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { invalidArgument } from '../../common/status.ts';
import type { FieldShape, FieldType, MessageShape } from './text-schema.ts';
import { shown, type Token, Tokens, unquote } from './text-tokens.ts';

/** Longer text is refused with INVALID_ARGUMENT. */
export const MAX_TEXT_CHARACTERS = 1024 * 1024;
/** Messages nested deeper are refused with INVALID_ARGUMENT. */
export const MAX_TEXT_DEPTH = 32;

/** @throws INVALID_ARGUMENT with `title`, line, column, what was found and what would be right. */
export function encodeText(text: string, shape: MessageShape, title: string): Uint8Array {
  if (text.length > MAX_TEXT_CHARACTERS) {
    throw invalidArgument(
      `${title} has ${text.length} characters, at most ${MAX_TEXT_CHARACTERS} are read`,
    );
  }
  const writer = new BinaryWriter();
  new TextParser(new Tokens(text, title), writer).message(shape, '', 0);
  return writer.finish();
}

class TextParser {
  readonly #tokens: Tokens;
  readonly #writer: BinaryWriter;

  constructor(tokens: Tokens, writer: BinaryWriter) {
    this.#tokens = tokens;
    this.#writer = writer;
  }

  /** Fields up to the symbol `close`, which is taken; '' is the end of the text. */
  message(shape: MessageShape, close: string, depth: number): void {
    const tokens = this.#tokens;
    const seen = new Map<string, string>();
    for (;;) {
      if (close === '' ? tokens.peek().kind === 'end' : tokens.take(close)) return;
      const token = tokens.next();
      if (token.kind !== 'identifier') {
        const others = close === '' ? '' : ` or '${close}'`;
        throw tokens.error(token, `expected a field name${others}, found ${shown(token)}`);
      }
      const field = shape.fields.get(token.text);
      if (field === undefined) {
        const known = [...shape.fields.keys()].join(', ');
        throw tokens.error(token, `${shape.name} has no field '${token.text}', only: ${known}`);
      }
      this.#checkOnce(field, token, seen);
      this.#field(field, depth);
      if (!tokens.take(',')) tokens.take(';');
    }
  }

  #checkOnce(field: FieldShape, token: Token, seen: Map<string, string>): void {
    if (field.isRepeated) return;
    const slot = field.oneof === '' ? field.name : `oneof ${field.oneof}`;
    const earlier = seen.get(slot);
    if (earlier !== undefined) {
      const other = earlier === field.name ? 'twice' : `beside '${earlier}', of which only one`;
      throw this.#tokens.error(token, `'${field.name}' is given ${other}`);
    }
    seen.set(slot, field.name);
  }

  #field(field: FieldShape, depth: number): void {
    const tokens = this.#tokens;
    const hasColon = tokens.take(':');
    if (!hasColon && field.type.kind !== 'message') {
      const token = tokens.next();
      throw tokens.error(token, `expected ':' after '${field.name}', found ${shown(token)}`);
    }
    const open = tokens.peek();
    if (!tokens.take('[')) {
      this.#value(field, depth);
      return;
    }
    if (!field.isRepeated) throw tokens.error(open, `'${field.name}' takes one value, not a list`);
    if (tokens.take(']')) return;
    do this.#value(field, depth);
    while (tokens.take(','));
    const end = tokens.next();
    if (end.text !== ']') throw tokens.error(end, `expected ',' or ']', found ${shown(end)}`);
  }

  #value(field: FieldShape, depth: number): void {
    const { type, number } = field;
    if (type.kind === 'message') this.#nested(field, type, depth);
    else if (type.kind === 'enum') {
      const value = this.#enumValue(field, type);
      this.#writer.tag(number, WireType.Varint).int32(value);
    } else this.#scalar(field, type.scalar);
  }

  #nested(field: FieldShape, type: FieldType & { kind: 'message' }, depth: number): void {
    const tokens = this.#tokens;
    const open = tokens.next();
    const close = open.text === '{' ? '}' : open.text === '<' ? '>' : undefined;
    if (close === undefined || open.kind !== 'symbol') {
      throw tokens.error(open, `expected '{' for '${field.name}', found ${shown(open)}`);
    }
    if (depth >= MAX_TEXT_DEPTH) {
      throw tokens.error(open, `messages nest more than ${MAX_TEXT_DEPTH} deep`);
    }
    this.#writer.tag(field.number, WireType.LengthDelimited).fork();
    this.message(type.message(), close, depth + 1);
    this.#writer.join();
  }

  #enumValue(field: FieldShape, type: FieldType & { kind: 'enum' }): number {
    const token = this.#tokens.peek();
    if (token.kind === 'identifier') {
      const value = type.values.get(this.#tokens.next().text);
      if (value !== undefined) return value;
      const known = [...type.values.keys()].join(', ');
      throw this.#tokens.error(token, `'${token.text}' is no ${type.name}, which are: ${known}`);
    }
    const number = Number(this.#integer(field, -(2n ** 31n), 2n ** 31n - 1n));
    if ([...type.values.values()].includes(number)) return number;
    throw this.#tokens.error(token, `${number} is no ${type.name}`);
  }

  #scalar(field: FieldShape, scalar: ScalarType): void {
    const writer = this.#writer;
    const varint = () => writer.tag(field.number, WireType.Varint);
    switch (scalar) {
      case ScalarType.STRING:
      case ScalarType.BYTES:
        writer.tag(field.number, WireType.LengthDelimited).bytes(this.#text(field, scalar));
        return;
      case ScalarType.BOOL:
        varint().bool(this.#boolean(field));
        return;
      case ScalarType.INT32:
        varint().int32(Number(this.#integer(field, -(2n ** 31n), 2n ** 31n - 1n)));
        return;
      case ScalarType.UINT32:
        varint().uint32(Number(this.#integer(field, 0n, 2n ** 32n - 1n)));
        return;
      case ScalarType.INT64:
        varint().int64(this.#integer(field, -(2n ** 63n), 2n ** 63n - 1n));
        return;
      case ScalarType.UINT64:
        varint().uint64(this.#integer(field, 0n, 2n ** 64n - 1n));
        return;
      case ScalarType.DOUBLE:
        writer.tag(field.number, WireType.Bit64).double(this.#real(field));
        return;
      case ScalarType.FLOAT:
        writer.tag(field.number, WireType.Bit32).float(Math.fround(this.#real(field)));
        return;
      default:
        // The contracts that are written as text have no fixed or zigzag integers.
        throw this.#tokens.error(this.#tokens.peek(), `'${field.name}' can't be given as text`);
    }
  }

  /** One string or several in a row, which are joined. */
  #text(field: FieldShape, scalar: ScalarType): Uint8Array {
    const tokens = this.#tokens;
    const first = tokens.expect('string', `a string for '${field.name}'`);
    const parts: Uint8Array[] = [];
    for (let token = first; ; token = tokens.next()) {
      const bytes = unquote(token.text);
      if (bytes === undefined) throw tokens.error(token, 'the string has an unknown \\ escape');
      parts.push(bytes);
      if (tokens.peek().kind !== 'string') break;
    }
    const joined = Buffer.concat(parts);
    if (scalar === ScalarType.STRING && !isUtf8(joined)) {
      throw tokens.error(first, `the string for '${field.name}' is not valid UTF-8`);
    }
    return joined;
  }

  #boolean(field: FieldShape): boolean {
    const token = this.#tokens.next();
    if (['true', 'True', 't', '1'].includes(token.text)) return true;
    if (['false', 'False', 'f', '0'].includes(token.text)) return false;
    const found = shown(token);
    throw this.#tokens.error(token, `expected true or false for '${field.name}', found ${found}`);
  }

  #integer(field: FieldShape, min: bigint, max: bigint): bigint {
    const tokens = this.#tokens;
    const isNegative = tokens.take('-');
    const token = tokens.expect('number', `an integer for '${field.name}'`);
    const magnitude = integerOf(token.text);
    if (magnitude === undefined) {
      throw tokens.error(token, `expected an integer for '${field.name}', found '${token.text}'`);
    }
    const value = isNegative ? -magnitude : magnitude;
    if (value >= min && value <= max) return value;
    throw tokens.error(token, `'${field.name}' must be ${min} to ${max}, not ${value}`);
  }

  #real(field: FieldShape): number {
    const tokens = this.#tokens;
    const sign = tokens.take('-') ? -1 : 1;
    const token = tokens.next();
    const name = token.kind === 'identifier' ? token.text.toLowerCase() : '';
    if (name === 'inf' || name === 'infinity') return sign * Number.POSITIVE_INFINITY;
    if (name === 'nan') return Number.NaN;
    const isReal = token.kind === 'number' && !/^0[0-7xX]/.test(token.text);
    if (isReal) return sign * Number(token.text.replace(/[fF]$/, ''));
    throw tokens.error(token, `expected a number for '${field.name}', found ${shown(token)}`);
  }
}

/** Decimal, octal (leading 0) or hexadecimal; undefined for anything else, reals included. */
function integerOf(text: string): bigint | undefined {
  if (text.length > 66) return undefined;
  if (/^(0[xX][0-9A-Fa-f]+|0|[1-9][0-9]*)$/.test(text)) return BigInt(text);
  return /^0[0-7]+$/.test(text) ? BigInt(`0o${text.slice(1)}`) : undefined;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
