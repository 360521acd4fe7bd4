// What a gRPC server answered, read off the bytes that it sent.
import { gunzipSync } from 'node:zlib';
import { FrameType } from '../../transport/http2/frames/constants.ts';
import { ReferenceHpack } from './reference-hpack.ts';
import { SenderAudit } from './sender-audit.ts';

export interface ReadAnswer {
  httpStatus: string | undefined;
  /** grpc-status, in whatever place. */
  status: string | undefined;
  text: string | undefined;
  isEnded: boolean;
  isReset: boolean;
  /** Inflated. */
  readonly messages: readonly Buffer[];
  /** All content, as it came: how much, and a sum that tells contents apart. */
  contentBytes: number;
  contentSum: number;
}

interface Reading extends ReadAnswer {
  messages: Buffer[];
  content: Buffer;
}

const HEAD_BYTES = 9;
const PREFIX_BYTES = 5;

/** What passes through as it is may be broken. */
function inflated(message: Buffer): Buffer {
  try {
    return gunzipSync(message);
  } catch {
    return message;
  }
}

export class AnswerReader {
  readonly #audit = new SenderAudit(false);
  readonly #hpack = new ReferenceHpack();
  readonly #answers = new Map<number, Reading>();
  #broken: string | undefined;
  #open: Buffer[] = [];

  constructor() {
    // Windows are not what is looked at here.
    const grant = Buffer.alloc(4);
    grant.writeUInt32BE(0x7fffffff);
    this.#audit.heard(FrameType.WINDOW_UPDATE, 0, 0, grant);
    const setting = Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]);
    this.#audit.heard(FrameType.SETTINGS, 0, 0, setting);
  }

  get broken(): string | undefined {
    return this.#broken ?? this.#audit.broken;
  }

  of(streamId: number): ReadAnswer | undefined {
    return this.#answers.get(streamId);
  }

  read(chunks: readonly Uint8Array[]): void {
    for (const frame of this.#audit.sent(chunks)) {
      const [type, flags] = [frame[3] ?? 0, frame[4] ?? 0];
      const id = frame.readUInt32BE(5) & 0x7fffffff;
      if (id === 0) continue;
      const answer = this.#of(id);
      const payload = frame.subarray(HEAD_BYTES);
      if (type === FrameType.HEADERS || type === FrameType.CONTINUATION) {
        this.#open.push(payload);
        if ((flags & 4) !== 0) this.#fields(answer);
      } else if (type === FrameType.DATA) this.#data(answer, payload);
      else if (type === FrameType.RST_STREAM) answer.isReset = true;
      const canEnd = type === FrameType.HEADERS || type === FrameType.DATA;
      if (canEnd && (flags & 1) !== 0) answer.isEnded = true;
    }
  }

  #of(id: number): Reading {
    let answer = this.#answers.get(id);
    if (answer === undefined) {
      const nothing = { httpStatus: undefined, status: undefined, text: undefined };
      const content = Buffer.alloc(0);
      const ends = { isEnded: false, isReset: false, contentBytes: 0, contentSum: 0 };
      answer = { ...nothing, ...ends, messages: [], content };
      this.#answers.set(id, answer);
    }
    return answer;
  }

  #fields(answer: Reading): void {
    const fields = this.#hpack.decode(Buffer.concat(this.#open));
    this.#open = [];
    for (const [name, value] of fields) {
      if (name === ':status') answer.httpStatus = value;
      else if (name === 'grpc-message') answer.text = value;
      else if (name === 'grpc-status') {
        if (answer.status !== undefined) this.#broken ??= 'grpc-status came twice';
        answer.status = value;
      }
    }
  }

  #data(answer: Reading, payload: Buffer): void {
    answer.contentBytes += payload.length;
    for (const byte of payload) answer.contentSum = (answer.contentSum * 31 + byte) | 0;
    answer.content = Buffer.concat([answer.content, payload]);
    if (answer.httpStatus !== '200') return;
    while (answer.content.length >= PREFIX_BYTES) {
      const length = answer.content.readUInt32BE(1);
      const end = PREFIX_BYTES + length;
      if (answer.content.length < end) return;
      const message = answer.content.subarray(PREFIX_BYTES, end);
      answer.messages.push(answer.content[0] === 1 ? inflated(message) : message);
      answer.content = answer.content.subarray(end);
    }
  }
}
