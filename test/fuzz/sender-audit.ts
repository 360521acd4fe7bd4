// Watches what one end of a connection sends, as its peer must be able to take it: frames of the
// right shape and size, streams in their order, data within the windows that were given, header
// blocks that a plain decoder reads. Written from RFC 9113 alone, to disagree with ours if it errs.
import {
  CLIENT_PREFACE,
  DEFAULT_WINDOW_BYTES,
  FrameType,
  MIN_MAX_FRAME_BYTES,
} from '../../transport/http2/frames/constants.ts';
import { ReferenceHpack } from './reference-hpack.ts';

const HEAD_BYTES = 9;

interface Sent {
  isOpen: boolean;
  isEnded: boolean;
  isReset: boolean;
  windowBytes: number;
}

export class SenderAudit {
  /** The first rule that was broken. */
  broken: string | undefined;
  readonly #isClient: boolean;
  readonly #streams = new Map<number, Sent>();
  readonly #hpack = new ReferenceHpack();
  #rest: Buffer = Buffer.alloc(0);
  #needsPreface: boolean;
  #open: { id: number; isEnd: boolean; parts: Buffer[] } | undefined;
  #windowBytes = DEFAULT_WINDOW_BYTES;
  #initialWindowBytes = DEFAULT_WINDOW_BYTES;
  #maxFrameBytes = MIN_MAX_FRAME_BYTES;

  constructor(isClient: boolean) {
    this.#isClient = isClient;
    this.#needsPreface = isClient;
  }

  /** A whole frame of the peer has reached the sender: what it grants counts from now on. */
  heard(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === FrameType.WINDOW_UPDATE) {
      const by = payload.readUInt32BE(0) & 0x7fffffff;
      if (id === 0) this.#windowBytes += by;
      else this.#of(id).windowBytes += by;
    } else if (type === FrameType.SETTINGS && (flags & 1) === 0) {
      for (let at = 0; at + 6 <= payload.length; at += 6) {
        this.#setting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      }
    }
  }

  #setting(id: number, value: number): void {
    if (id === 5) this.#maxFrameBytes = value;
    if (id !== 4) return;
    for (const stream of this.#streams.values()) {
      stream.windowBytes += value - this.#initialWindowBytes;
    }
    this.#initialWindowBytes = value;
  }

  /** Bytes as the sender wrote them. Returns the whole frames among them. */
  sent(chunks: readonly Uint8Array[]): readonly Buffer[] {
    this.#rest = Buffer.concat([this.#rest, ...chunks]);
    const frames: Buffer[] = [];
    if (this.#needsPreface && this.#rest.length >= CLIENT_PREFACE.length) {
      const preface = this.#rest.subarray(0, CLIENT_PREFACE.length);
      if (!preface.equals(CLIENT_PREFACE)) this.#break('the preface is another');
      this.#rest = this.#rest.subarray(CLIENT_PREFACE.length);
      this.#needsPreface = false;
    }
    while (this.#rest.length >= HEAD_BYTES) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < HEAD_BYTES + length) break;
      frames.push(this.#rest.subarray(0, HEAD_BYTES + length));
      this.#rest = this.#rest.subarray(HEAD_BYTES + length);
    }
    for (const frame of frames) this.#check(frame);
    return frames;
  }

  /** Nothing may be left of a frame. */
  end(): void {
    if (this.#rest.length > 0) this.#break(`${this.#rest.length} bytes are no frame`);
    if (this.#open !== undefined) this.#break('a header block has no end');
  }

  #break(what: string): void {
    this.broken ??= `${this.#isClient ? 'client' : 'server'}: ${what}`;
  }

  #of(id: number): Sent {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      const windowBytes = this.#initialWindowBytes;
      stream = { isOpen: false, isEnded: false, isReset: false, windowBytes };
      this.#streams.set(id, stream);
    }
    return stream;
  }

  #check(frame: Buffer): void {
    const [type, flags] = [frame[3] ?? 0, frame[4] ?? 0];
    const id = frame.readUInt32BE(5) & 0x7fffffff;
    const payload = frame.subarray(HEAD_BYTES);
    if (payload.length > this.#maxFrameBytes) this.#break(`a frame of ${payload.length} bytes`);
    if (this.#open !== undefined && (type !== FrameType.CONTINUATION || id !== this.#open.id)) {
      this.#break('a frame within a header block');
    }
    const isOfStream = type !== FrameType.SETTINGS && type !== FrameType.PING;
    if (!isOfStream && id !== 0) this.#break(`frame type ${type} on stream ${id}`);
    if (type === FrameType.DATA) this.#data(id, flags, payload.length);
    else if (type === FrameType.HEADERS) {
      this.#open = { id, isEnd: (flags & 1) !== 0, parts: [payload] };
      if ((flags & 4) !== 0) this.#headers();
    } else if (type === FrameType.CONTINUATION) {
      if (this.#open === undefined) this.#break('CONTINUATION of nothing');
      this.#open?.parts.push(payload);
      if ((flags & 4) !== 0) this.#headers();
    } else if (type === FrameType.RST_STREAM) this.#of(id).isReset = true;
    else if (type === FrameType.WINDOW_UPDATE && payload.readUInt32BE(0) === 0) {
      this.#break('WINDOW_UPDATE by 0');
    }
  }

  #data(id: number, flags: number, length: number): void {
    const stream = this.#of(id);
    this.#mayGoOn(id, stream, 'DATA');
    if (!stream.isOpen) this.#break(`DATA before the headers of stream ${id}`);
    stream.windowBytes -= length;
    this.#windowBytes -= length;
    if (length > 0 && stream.windowBytes < 0) this.#break(`DATA over the window of stream ${id}`);
    if (length > 0 && this.#windowBytes < 0) this.#break("DATA over the connection's window");
    if ((flags & 1) !== 0) stream.isEnded = true;
  }

  #headers(): void {
    const { id, isEnd, parts } = this.#open ?? { id: 0, isEnd: false, parts: [] };
    this.#open = undefined;
    const stream = this.#of(id);
    this.#mayGoOn(id, stream, 'HEADERS');
    try {
      this.#hpack.decode(Buffer.concat(parts));
    } catch (thrown) {
      this.#break(`a header block that can't be read: ${String(thrown)}`);
    }
    if (stream.isOpen && !isEnd) this.#break(`trailers of stream ${id} don't end it`);
    stream.isOpen = true;
    if (isEnd) stream.isEnded = true;
  }

  #mayGoOn(id: number, stream: Sent, what: string): void {
    if (stream.isReset) this.#break(`${what} on stream ${id} behind its RST_STREAM`);
    if (stream.isEnded) this.#break(`${what} on stream ${id} behind its end`);
  }
}
