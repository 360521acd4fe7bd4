// Backends of another thread, as this one calls them: calls cross over a MessagePort in frames,
// with their deadlines, cancellation and flow control. Bytes are copied once each way, into the
// buffer of their turn.
import type { MessagePort } from 'node:worker_threads';
import { Code, codeOf, StatusError, unavailable } from '../../common/status.ts';
import { tickEnd } from '../../common/tick-end.ts';
import type { Backend, Metadata, MethodKind, StreamCall, UnaryCall } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import { unknownMethod } from '../service.ts';
import {
  FRAME,
  type Frame,
  FrameReader,
  FrameSender,
  type FrameTaker,
  isFramePost,
} from './frames.ts';
import { sharedOffsetMs } from './shared-time.ts';
import { Inflow, Outflow } from './stream-flow.ts';

/** Calls under way over one port; one more is UNAVAILABLE: the other thread is overrun. */
export const MAX_HANDED_CALLS = 16_384;
/** The other thread is told what was taken each time that so much has come. */
const TAKEN_STEP_BYTES = 1024 * 1024;

export interface CallingThread {
  /** The methods of one that the other thread serves under this name. */
  backend(target: string, methods: ReadonlyMap<string, MethodKind>): Backend;
  /** Calls that are under way. */
  readonly inFlight: number;
  /** Calls that were handed over, ever. */
  readonly handedOver: number;
  /** Ends what is under way with UNAVAILABLE. */
  close(): void;
}

export function callThread(port: MessagePort): CallingThread {
  return new Caller(port);
}

/** One end of a call here: hears what the other thread says of it. */
interface Handed {
  answer(bytes: Uint8Array, trailers: Metadata): void;
  status(code: Code, text: string, trailers: Metadata): void;
  message(bytes: Uint8Array): void;
  taken(sizeBytes: number): void;
  head(metadata: Metadata): void;
}

class Caller implements CallingThread, FrameTaker {
  readonly sender: FrameSender;
  readonly #port: MessagePort;
  readonly #reader = new FrameReader();
  readonly #calls = new Map<number, Handed>();
  readonly #offsetMs = sharedOffsetMs();
  #nextId = 1;
  #nextRoute = 0;
  #untoldBytes = 0;
  #isGone = false;

  constructor(port: MessagePort) {
    this.#port = port;
    this.sender = new FrameSender(port, tickEnd.send);
    port.on('message', (message: unknown) => {
      if (isFramePost(message)) this.#reader.read(message, this);
    });
    port.on('close', () => this.#end());
  }

  get handedOver(): number {
    return this.#nextId - 1;
  }

  get inFlight(): number {
    return this.#calls.size;
  }

  backend(target: string, methods: ReadonlyMap<string, MethodKind>): Backend {
    const routes = new Map<string, number>();
    const routeOf = (path: string): number => {
      const known = routes.get(path);
      if (known !== undefined) return known;
      const route = this.#nextRoute++;
      routes.set(path, route);
      this.sender.addRoute({ target, path });
      return route;
    };
    return {
      methods,
      unary: (call) => {
        if (this.#mayHandOver(call, methods)) new HandedUnary(this, call, routeOf(call.path));
      },
      stream: (call) => {
        if (this.#mayHandOver(call, methods)) new HandedStream(this, call, routeOf(call.path));
      },
    };
  }

  close(): void {
    this.#port.close();
    this.#end();
  }

  /** @returns its id */
  add(handed: Handed): number {
    const id = this.#nextId++;
    this.#calls.set(id, handed);
    return id;
  }

  remove(id: number): void {
    this.#calls.delete(id);
  }

  /** On the clock that threads share. */
  sharedMs(momentMs: number): number {
    return momentMs + this.#offsetMs;
  }

  take(kind: number, id: number, value: number, bytes: Uint8Array, metadata: Metadata): void {
    const handed = this.#calls.get(id);
    if (kind === FRAME.ANSWER) {
      this.#calls.delete(id);
      this.#tookAnswer(bytes.length);
      handed?.answer(bytes, metadata);
    } else if (kind === FRAME.STATUS) {
      this.#calls.delete(id);
      handed?.status(codeOf(value), textOf(bytes), metadata);
    } else if (kind === FRAME.MESSAGE) handed?.message(bytes);
    else if (kind === FRAME.TAKEN) handed?.taken(value);
    else if (kind === FRAME.HEAD) handed?.head(metadata);
  }

  #mayHandOver(call: UnaryCall | StreamCall, methods: ReadonlyMap<string, MethodKind>): boolean {
    if (!methods.has(call.path)) call.fail(unknownMethod(call.path));
    else if (this.#isGone) call.fail(unavailable('the thread has ended'));
    else if (this.#calls.size >= MAX_HANDED_CALLS) {
      call.fail(unavailable(`${MAX_HANDED_CALLS} calls wait for another thread: try again`));
    } else return true;
    return false;
  }

  #tookAnswer(sizeBytes: number): void {
    this.#untoldBytes += sizeBytes;
    if (this.#untoldBytes < TAKEN_STEP_BYTES) return;
    this.sender.send(FRAME.TAKEN, 0, this.#untoldBytes);
    this.#untoldBytes = 0;
  }

  #end(): void {
    this.#isGone = true;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.status(Code.UNAVAILABLE, 'the thread has ended', NO_METADATA);
  }
}

class HandedUnary implements Handed {
  readonly #caller: Caller;
  readonly #call: UnaryCall;
  readonly #id: number;
  readonly #frame: Frame;

  constructor(caller: Caller, call: UnaryCall, route: number) {
    this.#caller = caller;
    this.#call = call;
    this.#id = caller.add(this);
    const { deadlineMs, request, metadata } = call;
    const value = caller.sharedMs(deadlineMs);
    this.#frame = caller.sender.send(FRAME.UNARY, this.#id, value, request, metadata, route);
    call.onCancel = canceller(this);
  }

  cancel(): void {
    const { sender } = this.#caller;
    this.#caller.remove(this.#id);
    if (!sender.takeBack(this.#frame)) sender.send(FRAME.CANCEL, this.#id);
  }

  answer(bytes: Uint8Array, trailers: Metadata): void {
    this.#call.onCancel = undefined;
    this.#call.succeed(bytes, trailers);
  }

  status(code: Code, text: string, trailers: Metadata): void {
    this.#call.onCancel = undefined;
    this.#call.fail(new StatusError(code, text), trailers);
  }

  message(): void {}

  taken(): void {}

  head(metadata: Metadata): void {
    this.#call.answerMetadata = metadata;
  }
}

/** In a function of its own, so that it keeps nothing else alive. */
function canceller(handed: { cancel(): void }): () => void {
  return () => handed.cancel();
}

class HandedStream implements Handed {
  readonly #call: StreamCall;
  readonly #out = new Outflow();
  readonly #in: Inflow;
  /** How it ends, once all answers were given. */
  #status: { readonly code: Code; readonly text: string; readonly trailers: Metadata } | undefined;

  constructor(caller: Caller, call: StreamCall, route: number) {
    this.#call = call;
    const id = caller.add(this);
    const { sender } = caller;
    this.#in = new Inflow({
      give: (message) => call.send(message),
      end: () => this.#finish(),
      taken: (sizeBytes) => sender.send(FRAME.TAKEN, id, sizeBytes),
    });
    const { metadata } = call;
    sender.send(FRAME.STREAM, id, caller.sharedMs(call.deadlineMs), undefined, metadata, route);
    call.onMessage = (message) => {
      // Its bytes are the transport's again when this returns.
      sender.send(FRAME.MESSAGE, id, 0, Uint8Array.from(message));
      if (!this.#out.sent(message)) call.pause();
    };
    call.onHalfClose = () => void sender.send(FRAME.HALF_CLOSE, id);
    call.onDrain = () => this.#in.go();
    call.onCancel = () => {
      caller.remove(id);
      this.#in.drop();
      sender.send(FRAME.CANCEL, id);
    };
  }

  answer(): void {}

  status(code: Code, text: string, trailers: Metadata): void {
    this.#status = { code, text, trailers };
    if (code !== Code.OK) this.#finish();
    else this.#in.end();
  }

  message(bytes: Uint8Array): void {
    this.#in.push(bytes);
  }

  taken(sizeBytes: number): void {
    if (this.#out.taken(sizeBytes)) this.#call.resume();
  }

  head(metadata: Metadata): void {
    this.#call.answerMetadata = metadata;
  }

  #finish(): void {
    const { code, text, trailers } = this.#status ?? { code: Code.OK, text: '', trailers: [] };
    const call = this.#call;
    this.#in.drop();
    call.onCancel = undefined;
    call.onMessage = undefined;
    call.onHalfClose = undefined;
    if (code === Code.OK) call.end(trailers);
    else call.fail(new StatusError(code, text), trailers);
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}
