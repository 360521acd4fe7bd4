// One stream of a connection: where it stands each way (RFC 9113, 5.1), its windows, and what
// waits to be sent. One object per call; whoever is told of a stream keeps it as the handle.
import type { HeaderField } from '../hpack/header-field.ts';

/** How far a direction of a stream has come. */
export const Progress = {
  /** No headers yet. */
  NONE: 0,
  /** Headers, or the final ones of a response, are through. */
  OPEN: 1,
  /** The end is queued behind data that waits for a window; only in the sending direction. */
  ENDING: 2,
  /** END_STREAM is through. */
  ENDED: 3,
} as const;

/** Fields in their order, or what prebuiltBlock() made of some that never change. */
export type HeadersToSend = readonly HeaderField[] | Uint8Array;

export class Stream {
  readonly id: number;
  /** Whatever the owner of the connection wants to find here again. */
  context: unknown = undefined;

  receiving: number = Progress.NONE;
  /** What the peer may send before it must wait. */
  receiveWindowBytes: number;
  /** The same when all that came has been consumed. */
  windowBytes: number;
  /** Handed to the owner and not consumed yet. */
  unconsumedBytes = 0;
  /** Consumed, and not given back to the peer yet. */
  creditBytes = 0;
  /** As announced; -1 when it was not. */
  contentLengthBytes = -1;
  receivedBytes = 0;
  /** A response to HEAD has a content-length and no content. */
  isHead = false;

  sending: number = Progress.NONE;
  /** Below 0 after the peer made its initial window smaller: RFC 9113, 6.9.2. */
  sendWindowBytes: number;
  queue: Uint8Array[] = NO_QUEUE;
  /** Where the queue's first entry that is not sent starts, and how far into it we are. */
  queueAt = 0;
  queueOffsetBytes = 0;
  queuedBytes = 0;
  trailers: HeadersToSend | undefined = undefined;
  /** The owner was told to wait, and is told when there is room. */
  isOwnerWaiting = false;
  /** When data last went into the queue of an idle stream, or out of it. */
  progressMs = 0;

  /** Server: from this moment on a reset by the peer is not counted against it. */
  freeResetMs = 0;
  /** Server: once the answer is out, RST_STREAM with NO_ERROR says that no more is wanted. */
  isRestUnwanted = false;

  /** The table's own. */
  nextInTable: Stream | undefined = undefined;

  /** Linked into the send queue. */
  isReady = false;
  nextReady: Stream | undefined = undefined;

  /** Over both ways, in whatever manner. */
  isClosed = false;
  /** Over before both ends had said so. */
  isReset = false;

  constructor(id: number, receiveWindowBytes: number, sendWindowBytes: number) {
    this.id = id;
    this.receiveWindowBytes = receiveWindowBytes;
    this.windowBytes = receiveWindowBytes;
    this.sendWindowBytes = sendWindowBytes;
  }

  /** Drops what waits to be sent; returns how much. */
  dropQueue(): number {
    const dropped = this.queuedBytes;
    this.queue = NO_QUEUE;
    this.queueAt = 0;
    this.queueOffsetBytes = 0;
    this.queuedBytes = 0;
    this.trailers = undefined;
    return dropped;
  }
}

/** Shared by all streams that have nothing queued: most of them, always. */
export const NO_QUEUE: Uint8Array[] = [];
