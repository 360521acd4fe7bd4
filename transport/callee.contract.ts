// The callee of the conformance suite: small methods of every kind, and signals of what they saw.
import { Code, StatusError } from '../common/status.ts';
import type { Backend, Metadata, MethodKind, StreamCall, UnaryCall } from './backend.ts';

export const CHUNK_BYTES = 64 * 1024;

export const ECHO = '/conformance.Test/Echo';
export const FAIL = '/conformance.Test/Fail';
export const HANG = '/conformance.Test/Hang';
export const THROW = '/conformance.Test/Throw';
export const COUNT = '/conformance.Test/Count';
export const SUM = '/conformance.Test/Sum';
export const CHAT = '/conformance.Test/Chat';
export const SINK = '/conformance.Test/Sink';

const METHODS = new Map<string, MethodKind>([
  [ECHO, 'unary'],
  [FAIL, 'unary'],
  [HANG, 'unary'],
  [THROW, 'unary'],
  [COUNT, 'server_stream'],
  [SUM, 'client_stream'],
  [CHAT, 'bidi_stream'],
  [SINK, 'bidi_stream'],
]);

/** An event that a test waits for. */
export class Signal<T> {
  readonly #settled = Promise.withResolvers<T>();
  readonly happened = this.#settled.promise;
  fire(value: T): void {
    this.#settled.resolve(value);
  }
}

export class Callee implements Backend {
  readonly methods = METHODS;
  readonly hanging = new Signal<UnaryCall>();
  readonly cancelled = new Signal<void>();
  readonly blocked = new Signal<number>();
  readonly sinking = new Signal<StreamCall>();
  sunk = 0;

  unary(call: UnaryCall): void {
    switch (call.path) {
      case ECHO:
        call.answerMetadata = call.metadata.filter(isForHead);
        call.succeed(Uint8Array.from(call.request), call.metadata.filter(isOurs));
        break;
      case FAIL:
        call.fail(new StatusError(Code.ABORTED, new TextDecoder().decode(call.request)), [
          ['x-why', 'because'],
        ]);
        break;
      case HANG:
        call.onCancel = () => this.cancelled.fire();
        this.hanging.fire(call);
        break;
      default:
        throw new Error('thrown by a handler');
    }
  }

  stream(call: StreamCall): void {
    if (call.path === COUNT) this.#count(call);
    else if (call.path === SUM) sum(call);
    else if (call.path === CHAT) chat(call);
    else this.#sink(call);
  }

  /** As many chunks as the request says, as fast as the caller takes them. */
  #count(call: StreamCall): void {
    let left = 0;
    let sent = 0;
    const pump = (): void => {
      while (left > 0) {
        left--;
        sent++;
        if (!call.send(new Uint8Array(CHUNK_BYTES).fill(sent)) && left > 0) {
          this.blocked.fire(sent);
          return;
        }
      }
      call.end([['x-sent', String(sent)]]);
    };
    call.onMessage = (message) => {
      left = Number(new TextDecoder().decode(message));
    };
    call.onHalfClose = pump;
    call.onDrain = pump;
    call.onCancel = () => this.cancelled.fire();
  }

  /** Takes the first message and holds the rest until the test resumes it. */
  #sink(call: StreamCall): void {
    call.onMessage = () => {
      this.sunk++;
      if (this.sunk > 1) return;
      call.pause();
      this.sinking.fire(call);
    };
    call.onHalfClose = () => call.end();
  }
}

const isForHead = (entry: Metadata[number]): boolean => entry[0].startsWith('x-head');
const isOurs = (entry: Metadata[number]): boolean => entry[0].startsWith('x-');

function sum(call: StreamCall): void {
  let total = 0;
  call.onMessage = (message) => {
    total += message.byteLength;
  };
  call.onHalfClose = () => {
    call.send(new TextEncoder().encode(String(total)));
    call.end();
  };
}

function chat(call: StreamCall): void {
  call.answerMetadata = call.metadata.filter(isForHead);
  call.onMessage = (message) => call.send(Uint8Array.from(message));
  call.onHalfClose = () => call.end();
}
