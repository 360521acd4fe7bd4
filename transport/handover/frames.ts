// What one thread tells another of the calls that it hands over: frames of fixed heads and free
// bytes. All frames of a turn of the event loop leave in one message, with one buffer that changes
// hands: what is posted one by one costs more than the calls themselves.
import type { MessagePort } from 'node:worker_threads';
import { type Metadata, NO_METADATA } from '../backend.ts';

/** The first word of a frame. What `value` and the bytes are follows from it. */
export const FRAME = {
  /** Was taken back before it left. */
  NONE: 0,
  /** value: deadline on the shared clock; bytes: the request. */
  UNARY: 1,
  /** value: as UNARY. Messages follow. */
  STREAM: 2,
  /** The caller is gone. */
  CANCEL: 3,
  /** bytes: the answer of a unary call, which ends it. */
  ANSWER: 4,
  /** value: gRPC code, OK for a stream's end; bytes: UTF-8 of the message. Ends the call. */
  STATUS: 5,
  /** bytes: one message of a stream, either way. */
  MESSAGE: 6,
  /** The caller has sent all. */
  HALF_CLOSE: 7,
  /** value: so much of a stream's window is free again; of id 0: of the answers' bound. */
  TAKEN: 8,
  /** metadata: what goes ahead of the answers. */
  HEAD: 9,
} as const;

export type FrameKind = (typeof FRAME)[keyof typeof FRAME];

/** kind, id, route, value, metadata, length: numbers of 64 bits each. */
const HEAD_WORDS = 6;
const HEAD_BYTES = HEAD_WORDS * 8;
/**
 * Metadata that comes again is sent once: listeners give the same object for the same headers. With
 * more of it than this, places are given anew.
 */
const MAX_KNOWN_METADATA = 256;

const NO_BYTES = new Uint8Array(0);

/** Which method of whom: sent once, then named by its place. */
export interface HandedRoute {
  readonly target: string;
  readonly path: string;
}

export interface FramePost {
  readonly frames: ArrayBuffer;
  readonly count: number;
  /** New ones: from this place on. */
  readonly routes?: readonly HandedRoute[];
  readonly metadata?: readonly (readonly [place: number, metadata: Metadata])[];
}

/** Calls back once, at the end of this turn of the event loop. */
export type AtTurnEnd = (callback: () => void) => void;

export interface Frame {
  kind: FrameKind;
  /** Counts posts: which one it leaves with. */
  readonly post: number;
  readonly id: number;
  readonly route: number;
  readonly value: number;
  readonly metadata: number;
  bytes: Uint8Array;
}

export class FrameSender {
  readonly #port: MessagePort;
  readonly #atTurnEnd: AtTurnEnd;
  #frames: Frame[] = [];
  #posts = 0;
  #sizeBytes = 0;
  readonly #known = new Map<Metadata, number>();
  #newMetadata: (readonly [place: number, metadata: Metadata])[] = [];
  #newRoutes: HandedRoute[] = [];
  readonly #onTurnEnd = (): void => this.#post();

  constructor(port: MessagePort, atTurnEnd: AtTurnEnd) {
    this.#port = port;
    this.#atTurnEnd = atTurnEnd;
  }

  /** Routes are numbered by both ends in the order in which they are sent. */
  addRoute(route: HandedRoute): void {
    this.#newRoutes.push(route);
  }

  /** `bytes` must stay as they are to the end of this turn. */
  send(
    kind: FrameKind,
    id: number,
    value = 0,
    bytes: Uint8Array = NO_BYTES,
    metadata: Metadata = NO_METADATA,
    route = 0,
  ): Frame {
    const place = metadata.length === 0 ? 0 : this.#placeOf(metadata);
    const frame: Frame = { kind, post: this.#posts, id, route, value, metadata: place, bytes };
    if (this.#frames.length === 0) this.#atTurnEnd(this.#onTurnEnd);
    this.#frames.push(frame);
    this.#sizeBytes += HEAD_BYTES + bytes.length;
    return frame;
  }

  /** True: it has not left, and will not. */
  takeBack(frame: Frame): boolean {
    if (frame.post !== this.#posts) return false;
    this.#sizeBytes -= frame.bytes.length;
    frame.kind = FRAME.NONE;
    frame.bytes = NO_BYTES;
    return true;
  }

  #placeOf(metadata: Metadata): number {
    const known = this.#known.get(metadata);
    if (known !== undefined) return known;
    const place = this.#known.size + 1;
    this.#known.set(metadata, place);
    this.#newMetadata.push([place, metadata.map(ownBytes)]);
    return place;
  }

  #post(): void {
    const frames = this.#frames;
    const buffer = new ArrayBuffer(this.#sizeBytes);
    const words = new Float64Array(buffer, 0, frames.length * HEAD_WORDS);
    const target = new Uint8Array(buffer);
    let at = frames.length * HEAD_BYTES;
    let word = 0;
    for (const { kind, id, route, value, metadata, bytes } of frames) {
      words[word] = kind;
      words[word + 1] = id;
      words[word + 2] = route;
      words[word + 3] = value;
      words[word + 4] = metadata;
      words[word + 5] = bytes.length;
      word += HEAD_WORDS;
      target.set(bytes, at);
      at += bytes.length;
    }
    this.#frames = [];
    this.#sizeBytes = 0;
    const post: FramePost = {
      frames: buffer,
      count: frames.length,
      ...(this.#newRoutes.length > 0 && { routes: this.#newRoutes }),
      ...(this.#newMetadata.length > 0 && { metadata: this.#newMetadata }),
    };
    this.#newRoutes = [];
    this.#newMetadata = [];
    this.#posts += 1;
    // Between posts only: within one, a place means one thing.
    if (this.#known.size >= MAX_KNOWN_METADATA) this.#known.clear();
    this.#port.postMessage(post, [buffer]);
  }
}

export interface FrameTaker {
  /** `bytes` are the taker's: they lie in the buffer of their turn's frames. */
  take(
    kind: number,
    id: number,
    value: number,
    bytes: Uint8Array,
    metadata: Metadata,
    route: HandedRoute | undefined,
  ): void;
}

/** The other end: cuts posts into frames again. */
export class FrameReader {
  readonly #routes: HandedRoute[] = [];
  readonly #metadata: Metadata[] = [NO_METADATA];

  read({ frames, count, routes, metadata }: FramePost, taker: FrameTaker): void {
    if (routes !== undefined) this.#routes.push(...routes);
    const words = new Float64Array(frames, 0, count * HEAD_WORDS);
    for (const [place, value] of metadata ?? []) this.#metadata[place] = value;
    let at = count * HEAD_BYTES;
    for (let word = 0; word < words.length; word += HEAD_WORDS) {
      const length = words[word + 5] ?? 0;
      const bytes = new Uint8Array(frames, at, length);
      at += length;
      const known = this.#metadata[words[word + 4] ?? 0] ?? NO_METADATA;
      const route = this.#routes[words[word + 2] ?? 0];
      taker.take(words[word] ?? 0, words[word + 1] ?? 0, words[word + 3] ?? 0, bytes, known, route);
    }
  }
}

export function isFramePost(message: unknown): message is FramePost {
  return typeof message === 'object' && message !== null && 'frames' in message;
}

/** Bytes of their own: a clone of a view would take all of what it is a view of. */
function ownBytes(entry: Metadata[number]): Metadata[number] {
  const [key, value] = entry;
  return typeof value === 'string' ? entry : [key, Uint8Array.from(value)];
}
