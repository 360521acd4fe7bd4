// The one file that knows the inside of Node's sockets. A socket that a program opens can be told
// to read into the program's own buffer (`onread`); one that a server accepts can't, since the
// server makes it. Here an accepted socket is given what that option would have given it. Which
// fields these are is learnt from a socket made with the option; a trial over the loopback shows
// once a thread that it works. Where it does not (another version of Node), accepted sockets read
// into Node's buffers, and `problem` says why.
import { connect, createServer, Socket } from 'node:net';
import { READ_BUFFER } from '../../read-memory.ts';

/** A trial that takes longer has failed. */
const TRIAL_TIMEOUT_MS = 2_000;
const TRIAL_TEXT = 'read';

/** @param sizeBytes of READ_BUFFER that were read; valid until it returns */
export type OnRead = (sizeBytes: number) => void;

export interface AcceptedReads {
  /** Why accepted sockets read into Node's buffers; '' when they read into READ_BUFFER. */
  readonly problem: string;
  /**
   * From now on, what the socket reads is in READ_BUFFER, and `data` is not emitted. To be called
   * before it has read anything. False: nothing has changed.
   */
  adopt(socket: Socket, onRead: OnRead): boolean;
}

/** Symbols of Node: where a socket has what the option gave it. */
interface Fields {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** What Node has behind a socket. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void;
}

let made: Promise<AcceptedReads> | undefined;

/** Of this thread, tried once. */
export function acceptedReads(): Promise<AcceptedReads> {
  made ??= triedReads();
  return made;
}

/** @param model a socket made with the option of these two; given by tests */
export async function triedReads(model: typeof modelSocket = modelSocket): Promise<AcceptedReads> {
  try {
    const fields = fieldsOf(model);
    const adopt: AcceptedReads['adopt'] = (socket, onRead) => adoptSocket(fields, socket, onRead);
    await tryOut(adopt);
    return { problem: '', adopt };
  } catch (thrown) {
    const problem = thrown instanceof Error ? thrown.message : String(thrown);
    return { problem, adopt: () => false };
  }
}

function modelSocket(buffer: Uint8Array, callback: () => boolean): object {
  return new Socket({ onread: { buffer, callback } });
}

function fieldsOf(model: typeof modelSocket): Fields {
  const buffer = new Uint8Array(1);
  const callback = (): boolean => true;
  const socket = model(buffer, callback) as Record<symbol, unknown>;
  const fields = Object.getOwnPropertySymbols(socket);
  const keyOf = (value: unknown): symbol => {
    const key = fields.find((field) => socket[field] === value);
    if (key === undefined) throw new Error('a socket has what onread gave it elsewhere');
    return key;
  };
  return { buffer: keyOf(buffer), callback: keyOf(callback) };
}

function adoptSocket(fields: Fields, socket: Socket, onRead: OnRead): boolean {
  const { _handle: handle } = socket as unknown as { _handle?: Handle | null };
  if (typeof handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
  const inside = socket as unknown as Record<symbol, unknown>;
  inside[fields.buffer] = READ_BUFFER;
  inside[fields.callback] = (sizeBytes: number): boolean => {
    onRead(sizeBytes);
    return true;
  };
  handle.useUserBuffer(READ_BUFFER);
  return true;
}

/** Bytes, then the end, over the loopback; rejects with what differs from what is expected. */
async function tryOut(adopt: AcceptedReads['adopt']): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error('its trial took too long')), TRIAL_TIMEOUT_MS);
  let read = '';
  const server = createServer((socket) => {
    socket.once('error', reject);
    const isAdopted = adopt(socket, (sizeBytes) => {
      read += READ_BUFFER.toString('latin1', 0, sizeBytes);
    });
    if (!isAdopted) reject(new Error('an accepted socket has no useUserBuffer()'));
    socket.once('end', () => {
      if (read === TRIAL_TEXT) resolve();
      else reject(new Error(`an accepted socket read ${JSON.stringify(read)} in its trial`));
      socket.destroy();
    });
  });
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const bound = server.address();
    if (bound === null || typeof bound === 'string') return;
    connect(bound.port, '127.0.0.1').once('error', reject).end(TRIAL_TEXT);
  });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    server.close();
  }
}
