// Frames as lines of text, for test scripts: `HEADERS 1 end GET`, `DATA 1 pad=3 len=10`, `SETTINGS
// ack`. One line gives the bytes of a frame, and bytes give their lines back.
import {
  ErrorCode,
  errorName,
  Flag,
  FrameType,
  frameName,
  SettingId,
  settingName,
} from '../frames/constants.ts';
import { FrameReader } from '../frames/frame-reader.ts';
import { readUint32 } from '../frames/frame-shape.ts';
import { BlockPool, Output } from '../frames/output.ts';
import { HpackDecoder } from '../hpack/decoder.ts';
import { prebuiltBlock } from '../hpack/encoder.ts';
import { type HeaderField, headerField } from '../hpack/header-field.ts';
import { DEFAULT_HEADER_LIMITS } from '../hpack/header-list.ts';

/** Field lists that scripts name by a word. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  GET: [':method=GET', ':scheme=http', ':path=/a', ':authority=host'],
  POST: [':method=POST', ':scheme=http', ':path=/a', ':authority=host'],
  OK: [':status=200'],
  TRAILERS: ['grpc-status=0'],
  NONE: [],
};

function tableValue(table: Readonly<Record<string, number>>, name: string): number {
  const value = table[name] ?? Number(name);
  if (Number.isNaN(value)) throw new Error(`no such name or number: ${name}`);
  return value;
}

export function errorCodeOf(name: string): number {
  return tableValue(ErrorCode, name);
}

/** `name=value` words and named lists, in order; `name=a**9` repeats. A value may have escapes. */
export function fieldsOf(words: readonly string[]): HeaderField[] {
  const flat = words.flatMap((word) => LISTS[word] ?? [word]);
  return flat.map((word) => {
    const at = word.indexOf('=', 1);
    const [text = '', times = '1'] = word.slice(at + 1).split('**');
    const value = (JSON.parse(`"${text}"`) as string).repeat(Number(times));
    return headerField(word.slice(0, at), value);
  });
}

/** Long values are cut. */
export function fieldsText(fields: readonly HeaderField[]): string {
  const cut = (value: string): string =>
    value.length > 40 ? `${value[0]}**${value.length}` : value;
  return fields.map((field) => ` ${field.name}=${cut(field.value)}`).join('');
}

interface Words {
  readonly has: (word: string) => boolean;
  readonly number: (name: string) => number | undefined;
  readonly text: (name: string) => string | undefined;
  readonly rest: readonly string[];
}

const OPTION = /^(end|more|ack|(pad|parent|len|last|raw|flags|type)=.*)$/;

function wordsOf(words: readonly string[]): Words {
  const text = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  return {
    has: (word) => words.includes(word),
    text,
    number: (name) => (text(name) === undefined ? undefined : Number(text(name))),
    rest: words.filter((word) => !OPTION.test(word)),
  };
}

function bytesOf(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((value, at) => {
    bytes.writeUInt32BE(value >>> 0, at * 4);
  });
  return bytes;
}

function frame(type: number, flags: number, streamId: number, payload: Uint8Array): Buffer {
  const output = new Output(new BlockPool());
  output.frameHeader(payload.length, type, flags, streamId);
  output.copy(payload, 0, payload.length);
  return Buffer.concat(output.take());
}

function padded(words: Words, content: Uint8Array): Buffer {
  const pad = words.number('pad');
  if (pad === undefined) return Buffer.from(content);
  return Buffer.concat([Uint8Array.of(pad), content, new Uint8Array(pad)]);
}

function contentOf(words: Words): Uint8Array {
  const length = words.number('len');
  return length === undefined ? Buffer.from(words.rest.join(' ')) : Buffer.alloc(length, 0x61);
}

function blockOf(words: Words): Uint8Array {
  const raw = words.text('raw');
  return raw === undefined ? prebuiltBlock(fieldsOf(words.rest)) : Buffer.from(raw, 'hex');
}

function flagsOf(words: Words): number {
  let flags = words.has('end') || words.has('ack') ? Flag.END_STREAM : 0;
  if (!words.has('more')) flags |= Flag.END_HEADERS;
  if (words.number('pad') !== undefined) flags |= Flag.PADDED;
  if (words.number('parent') !== undefined) flags |= Flag.PRIORITY;
  return flags;
}

function headersPayload(words: Words): Buffer {
  const parent = words.number('parent');
  const block = blockOf(words);
  const priority = parent === undefined ? [] : [bytesOf(parent), Uint8Array.of(16)];
  return padded(words, Buffer.concat([...priority, block]));
}

function settingsPayload(words: Words): Buffer {
  const entries = words.rest.map((word) => {
    const [name = '', value = ''] = word.split('=');
    const bytes = Buffer.alloc(6);
    bytes.writeUInt16BE(tableValue(SettingId, name), 0);
    bytes.writeUInt32BE(Number(value), 2);
    return bytes;
  });
  return Buffer.concat(entries);
}

/** The bytes of a frame, right or wrong; `RAW hex` gives any. */
export function parseFrame(line: string): Buffer {
  const [name = '', ...all] = line.split(' ').filter((word) => word !== '');
  if (name === 'RAW') return Buffer.from(all.join(''), 'hex');
  const hasStream = !['SETTINGS', 'PING', 'GOAWAY'].includes(name);
  const streamId = hasStream ? Number(all[0]) : 0;
  const words = wordsOf(hasStream ? all.slice(1) : all);
  const flags = words.number('flags');
  const make = (type: number, ofType: number, payload: Uint8Array): Buffer =>
    frame(type, flags ?? flagsOf(words) & ofType, streamId, payload);
  switch (name) {
    case 'DATA':
      return make(FrameType.DATA, Flag.END_STREAM | Flag.PADDED, padded(words, contentOf(words)));
    case 'HEADERS':
      return make(FrameType.HEADERS, 0xff, headersPayload(words));
    case 'CONTINUATION':
      return make(FrameType.CONTINUATION, Flag.END_HEADERS, blockOf(words));
    case 'PRIORITY':
      return make(FrameType.PRIORITY, 0, headersPayload(words).subarray(0, 5));
    case 'RST_STREAM':
      return make(FrameType.RST_STREAM, 0, bytesOf(errorCodeOf(words.rest[0] ?? '')));
    case 'SETTINGS':
      return make(FrameType.SETTINGS, Flag.ACK, settingsPayload(words));
    case 'PUSH_PROMISE':
      return make(FrameType.PUSH_PROMISE, Flag.END_HEADERS, bytesOf(2));
    case 'PING':
      return make(FrameType.PING, Flag.ACK, Buffer.from((words.rest[0] ?? '').padEnd(8, '.')));
    case 'GOAWAY': {
      const numbers = [words.number('last') ?? 0, errorCodeOf(words.rest[0] ?? '')];
      return make(FrameType.GOAWAY, 0, bytesOf(...numbers));
    }
    case 'WINDOW_UPDATE':
      return make(FrameType.WINDOW_UPDATE, 0, bytesOf(Number(words.rest[0])));
    case 'UNKNOWN':
      return make(0x42, 0xff, contentOf(words));
    default:
      throw new Error(`no such frame: ${line}`);
  }
}

const NO_LIMITS = { maxListBytes: 1e6, maxStringBytes: 1e6, maxWorkBytes: 1e6 };

/** Prints what one side sends, in order; it keeps the tables of that side's header blocks. */
export class FramePrinter {
  readonly #reader = new FrameReader(16_777_215);
  readonly #decoder = new HpackDecoder({ ...DEFAULT_HEADER_LIMITS, ...NO_LIMITS });
  #block: Uint8Array[] = [];

  print(chunks: readonly Uint8Array[]): string[] {
    const lines: string[] = [];
    const sink = {
      onFrame: (
        type: number,
        flags: number,
        streamId: number,
        bytes: Uint8Array,
        start: number,
        end: number,
      ): boolean => {
        lines.push(this.#line(type, flags, streamId, bytes.subarray(start, end)));
        return true;
      },
      onMisshapen: (): boolean => {
        lines.push('MISSHAPEN');
        return false;
      },
    };
    for (const chunk of chunks) this.#reader.read(chunk, sink);
    return lines;
  }

  #line(type: number, flags: number, streamId: number, payload: Uint8Array): string {
    const end = (flags & Flag.END_STREAM) !== 0 ? ' end' : '';
    const name = frameName(type);
    switch (type) {
      case FrameType.DATA:
        return `${name} ${streamId}${end} len=${payload.length}`;
      case FrameType.HEADERS: {
        if ((flags & Flag.END_HEADERS) === 0) {
          this.#block.push(Uint8Array.from(payload));
          return `${name} ${streamId}${end} more len=${payload.length}`;
        }
        const { fields } = this.#decoder.decode(payload);
        return `${name} ${streamId}${end}${fieldsText(fields)}`;
      }
      case FrameType.CONTINUATION: {
        const { fields } = this.#decoder.decode(Buffer.concat([...this.#block, payload]));
        return `${name} ${streamId} len=${payload.length}${fieldsText(fields)}`;
      }
      case FrameType.RST_STREAM:
        return `${name} ${streamId} ${errorName(readUint32(payload, 0))}`;
      case FrameType.WINDOW_UPDATE:
        return `${name} ${streamId} ${readUint32(payload, 0)}`;
      case FrameType.PING:
        return `${name}${end === '' ? '' : ' ack'} ${printable(payload)}`;
      case FrameType.GOAWAY: {
        const text = printable(payload.subarray(8));
        const last = readUint32(payload, 0);
        return `${name} last=${last} ${errorName(readUint32(payload, 4))} ${text}`.trimEnd();
      }
      case FrameType.SETTINGS: {
        const settings: string[] = end === '' ? [] : [' ack'];
        for (let at = 0; at < payload.length; at += 6) {
          const id = ((payload[at] ?? 0) << 8) | (payload[at + 1] ?? 0);
          settings.push(` ${settingName(id)}=${readUint32(payload, at + 2)}`);
        }
        return `${name}${settings.join('')}`;
      }
      default:
        return `${name} ${streamId} len=${payload.length}`;
    }
  }
}

function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/[^ -~]/g, '.');
}
