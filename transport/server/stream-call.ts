// A call with a stream of messages in one direction or both. Messages are given as the callee takes
// them: what it doesn't take isn't consumed, so that its caller stops at a window.
import { Code, StatusError } from '../../common/status.ts';
import {
  type MessageCompression,
  type Metadata,
  NO_METADATA,
  type StreamCall,
} from '../backend.ts';
import { checkMayBeCompressed } from '../grpc/encoding.ts';
import { PREFIX_BYTES } from '../grpc/message-prefix.ts';
import { MessageReader } from '../grpc/message-reader.ts';
import type { Stream } from '../http2/connection/stream.ts';
import { Progress } from '../http2/connection/stream.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import { PackedAnswers } from './packed-answers.ts';
import type { Route } from './route.ts';
import { ServerCall } from './server-call.ts';

export class StreamServerCall extends ServerCall implements StreamCall, MessageCompression {
  onMessage: ((message: Uint8Array) => void) | undefined = undefined;
  onHalfClose: (() => void) | undefined = undefined;
  onDrain: (() => void) | undefined = undefined;
  isRequestCompressed = false;
  readonly #reader: MessageReader;
  #isPaused = false;
  #isPumping = false;
  #isInflating = false;
  /** The caller has sent all; the callee has been told so. */
  #isEnded = false;
  #isEndTold = false;
  /** Undefined until the callee says something of it. */
  #wantsCompressed: boolean | undefined = undefined;
  #packed: PackedAnswers | undefined = undefined;

  constructor(served: GrpcConnection, stream: Stream, route: Route, deadlineMs: number) {
    super(served, stream, route, deadlineMs);
    this.#reader = new MessageReader(served.limits.messageBytes);
  }

  get compression(): MessageCompression {
    return this;
  }

  get isAnswerCompressed(): boolean {
    return this.#wantsCompressed === true;
  }

  set isAnswerCompressed(isWanted: boolean) {
    this.#wantsCompressed = isWanted;
  }

  start(): void {
    this.#tell(() => this.served.backend.stream(this));
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    if (this.isAnswered) {
      this.connection.consume(this.stream, end - start);
      return;
    }
    if (!this.hold(end - start)) return;
    this.#reader.push(bytes, start, end);
    if (isEnd) this.#isEnded = true;
    this.#pump();
    this.#reader.keepRest();
  }

  override onWritable(): void {
    if (this.isAnswered || this.#packed?.isBusy) return;
    this.#tell(() => this.onDrain?.());
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#pump();
  }

  send(message: Uint8Array): boolean {
    if (this.isAnswered) return false;
    const refusal = this.served.refusalOfAnswer(message.length);
    if (refusal !== undefined) {
      // The callee did not end the call, so it has to hear that nothing more is wanted of it.
      this.endAgainstWill(refusal.code, refusal.message);
      return false;
    }
    const isAccepted = this.#wantsCompressed !== undefined && this.route.head.accepts('gzip');
    if (this.stream.sending === Progress.NONE) {
      this.connection.sendHeaders(this.stream, this.head(isAccepted), false);
    }
    if (!isAccepted) return this.#put(message, false);
    this.#packed ??= new PackedAnswers(
      (bytes, isCompressed) => this.#put(bytes, isCompressed),
      () => this.onWritable(),
    );
    return this.#packed.send(message, this.isAnswerCompressed);
  }

  end(trailers: Metadata = NO_METADATA): void {
    if (this.isAnswered) return;
    this.finish();
    this.sendStatus(Code.OK, '', trailers);
  }

  /** Behind the answers that are being packed. */
  protected override sendStatus(code: Code, message: string, trailers: Metadata): void {
    if (this.#packed === undefined) super.sendStatus(code, message, trailers);
    else this.#packed.whenSent(() => super.sendStatus(code, message, trailers));
  }

  #put(message: Uint8Array, isCompressed: boolean): boolean {
    const hasRoom = this.served.sendMessage(this.stream, message, isCompressed);
    this.served.sent();
    return hasRoom;
  }

  /** Gives what can be given. Whoever is told may pause, resume, answer: a loop, never deeper. */
  #pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (this.#canGive() && this.#giveNext()) this.#takenIsConsumed();
    this.#isPumping = false;
    this.#takenIsConsumed();
    if (this.#isEnded && !this.#isEndTold && this.#canGive()) this.#tellEnd();
  }

  #canGive(): boolean {
    return !(this.#isPaused || this.#isInflating || this.isAnswered);
  }

  /** False when nothing whole waits. */
  #giveNext(): boolean {
    let message: Uint8Array | undefined;
    try {
      message = this.#reader.next();
      if (message === undefined) return false;
      this.isRequestCompressed = this.#reader.isCompressed;
      if (this.isRequestCompressed) checkMayBeCompressed(this.route.head.encoding);
    } catch (thrown) {
      this.fail(this.served.refusalOfMessage(thrown));
      return false;
    }
    if (this.isRequestCompressed) this.#inflate(message);
    else this.#give(message, message.length + PREFIX_BYTES);
    return true;
  }

  #give(message: Uint8Array, wireBytes: number): void {
    this.letGo(wireBytes);
    this.#tell(() => this.onMessage?.(message));
  }

  #inflate(message: Uint8Array): void {
    this.#isInflating = true;
    const isWanted = (): boolean => !this.isAnswered;
    this.served.inflate(message, isWanted, (result) => {
      this.#isInflating = false;
      if (result instanceof StatusError) this.fail(this.served.refusalOfMessage(result));
      else this.#give(result, message.length + PREFIX_BYTES);
      this.#pump();
    });
  }

  #tellEnd(): void {
    this.#isEndTold = true;
    try {
      this.#reader.end();
    } catch (thrown) {
      this.fail(this.served.refusalOfMessage(thrown));
      return;
    }
    this.#tell(() => this.onHalfClose?.());
  }

  #takenIsConsumed(): void {
    const bytes = this.#reader.takeConsumedBytes();
    if (bytes === 0) return;
    this.connection.consume(this.stream, bytes);
    this.served.wake();
  }

  #tell(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.threw(thrown);
    }
  }
}
