// A service for fuzzing a gRPC server: answers at once, later, in a stream, or passes bytes on; and
// checks what the server promises whoever answers.
import { StatusError } from '../../common/status.ts';
import type { Backend, StreamCall, UnaryCall } from '../../transport/backend.ts';
import { headerField } from '../../transport/http2/hpack/header-field.ts';
import type { RawBackend, RawCall, RawCallee } from '../../transport/raw-call.ts';
import { PATHS } from './grpc-calls.ts';

const INVALID_ARGUMENT = 3;

export class EchoService implements Backend, RawBackend {
  readonly methods = new Map([
    [PATHS.echo, 'unary'],
    [PATHS.later, 'unary'],
    [PATHS.fails, 'unary'],
    [PATHS.stream, 'bidi_stream'],
    [PATHS.sum, 'client_stream'],
  ] as const);
  readonly rawMethods = new Map([[PATHS.raw, 'bidi_stream']] as const);
  /** The first promise that was broken. */
  broken: string | undefined;
  readonly #waiting: (() => void)[] = [];

  /** Something was put off. */
  get isAwaited(): boolean {
    return this.#waiting.length > 0;
  }

  /** Answers what was put off. */
  goOn(): void {
    for (const answer of this.#waiting.splice(0)) answer();
  }

  unary(call: UnaryCall): void {
    this.#watchCancel(call);
    if (call.path === PATHS.echo) {
      if (call.compression !== undefined) call.compression.isAnswerCompressed = true;
      call.succeed(call.request);
    } else if (call.path === PATHS.fails) {
      call.fail(new StatusError(INVALID_ARGUMENT, 'as asked'), [['x-a', 'b']]);
    } else {
      const { request } = call;
      this.#waiting.push(() => call.succeed(call.isCancelled ? request : call.request));
    }
  }

  stream(call: StreamCall): void {
    this.#watchCancel(call);
    let sum = 0;
    let isEnded = false;
    call.onMessage = (message) => {
      if (isEnded) this.broken ??= 'a message came behind the end';
      if (call.isCancelled) this.broken ??= 'a message came behind a cancellation';
      sum += message.length;
      if (call.path !== PATHS.stream) return;
      if (sum % 3 === 0) {
        call.pause();
        this.#waiting.push(() => call.resume());
      }
      call.send(message);
    };
    call.onHalfClose = () => {
      if (isEnded) this.broken ??= 'the end came twice';
      isEnded = true;
      if (call.path === PATHS.sum) call.send(Buffer.from(String(sum)));
      call.end();
    };
  }

  raw(call: RawCall): RawCallee {
    let isBegun = false;
    let isOver = false;
    return {
      onRequestData: (bytes, start, end, isEnd) => {
        if (isOver) this.broken ??= 'content of a raw call came behind its end';
        isOver = isEnd;
        if (!isBegun) call.sendHeaders([headerField(':status', '200')], false);
        isBegun = true;
        call.sendData(bytes.subarray(start, end));
        call.consumeRequest(end - start);
        if (isEnd) call.sendTrailers([headerField('grpc-status', '0')]);
      },
      onCallerGone: () => {
        if (isOver) this.broken ??= 'a raw caller is gone behind the end of its call';
        isOver = true;
      },
      onAnswerWritable: () => {},
    };
  }

  #watchCancel(call: UnaryCall | StreamCall): void {
    let isCancelled = false;
    call.onCancel = () => {
      if (isCancelled) this.broken ??= 'a call was cancelled twice';
      isCancelled = true;
      if (!call.isCancelled) this.broken ??= 'onCancel of a call that is not cancelled';
    };
  }
}
