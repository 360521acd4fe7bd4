// A call on its way to a server, of whatever kind: what its connection tells of its stream comes
// here. One object per call; the connection finds it as the stream's context.
import { Code, StatusError } from '../../common/status.ts';
import { ConnectionLost } from '../backend.ts';
import { codeOfReset } from '../grpc/http-status.ts';
import { errorName } from '../http2/frames/constants.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import type { Link } from './link.ts';

/** What a call needs of the client that it goes through. */
export interface Carrier {
  readonly address: string;
  readonly maxMessageBytes: number;
  nowMs(): number;
  /** It waits no more; nothing happens if it did not. */
  forget(call: Outgoing): void;
}

export abstract class Outgoing {
  readonly carrier: Carrier;
  /** Kept by the client: then expire() is called. Infinity: not kept. */
  readonly deadlineMs: number;
  /** What its request holds while it waits for a connection. */
  readonly sizeBytes: number;
  /** The connection that carries it, once it has one. */
  protected link: Link | undefined;

  constructor(carrier: Carrier, deadlineMs: number, sizeBytes: number) {
    this.carrier = carrier;
    this.deadlineMs = deadlineMs;
    this.sizeBytes = sizeBytes;
  }

  get address(): string {
    return this.carrier.address;
  }

  /** There is room on `link`: opens the stream and sends what there is. False: none after all. */
  abstract start(link: Link, nowMs: number): boolean;
  /** It will not be sent. */
  abstract refuse(error: StatusError): void;
  /** Its deadline has passed. */
  abstract expire(): void;

  abstract onHead(list: HeaderList, isEnd: boolean): void;
  abstract onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void;
  abstract onTrailers(list: HeaderList): void;
  abstract onWritable(): void;
  /** The stream is gone before its end, or with its connection. */
  abstract onLost(code: number, isUnprocessed: boolean, why: string, isConnection: boolean): void;
}

/** What a stream that was lost means to its caller. */
export function lossOf(
  address: string,
  code: number,
  isUnprocessed: boolean,
  why: string,
  isConnection: boolean,
  hasAnswer: boolean,
): StatusError {
  const text = `${address}: ${why}`;
  if (isUnprocessed) return new ConnectionLost(text, false);
  if (isConnection) {
    if (!hasAnswer) return new ConnectionLost(text, true);
    return new StatusError(Code.UNAVAILABLE, `${text}, in the middle of the answer`);
  }
  return new StatusError(codeOfReset(code), `${text} (${errorName(code)})`);
}

export function expired(path: string, address: string): StatusError {
  return new StatusError(
    Code.DEADLINE_EXCEEDED,
    `no answer from ${path} of ${address} within its deadline`,
  );
}
