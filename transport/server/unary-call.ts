// One request, one answer. Most requests come whole in one frame and are answered at once: then
// nothing is made for them but this object and a view of their bytes.
import { Code, StatusError } from '../../common/status.ts';
import { type MessageCompression, type Metadata, NO_METADATA, type UnaryCall } from '../backend.ts';
import { checkMayBeCompressed } from '../grpc/encoding.ts';
import { deflateLater, deflateNow } from '../grpc/gzip.ts';
import { PREFIX_BYTES } from '../grpc/message-prefix.ts';
import { MessageReader } from '../grpc/message-reader.ts';
import type { HeadersToSend } from '../http2/connection/stream.ts';
import { lasting } from '../read-memory.ts';
import { ServerCall } from './server-call.ts';

const NO_BYTES = new Uint8Array(0);

export class UnaryServerCall extends ServerCall implements UnaryCall, MessageCompression {
  request: Uint8Array = NO_BYTES;
  isRequestCompressed = false;
  #hasRequest = false;
  /** Of a message that did not come whole in one piece. */
  #reader: MessageReader | undefined = undefined;
  /** Undefined until the callee says something of it. */
  #wantsCompressed: boolean | undefined = undefined;

  get compression(): MessageCompression {
    return this;
  }

  get isAnswerCompressed(): boolean {
    return this.#wantsCompressed === true;
  }

  set isAnswerCompressed(isWanted: boolean) {
    this.#wantsCompressed = isWanted;
  }

  onData(bytes: Uint8Array, start: number, end: number, isEnd: boolean): void {
    const sizeBytes = end - start;
    if (this.isAnswered) {
      this.connection.consume(this.stream, sizeBytes);
      return;
    }
    if (sizeBytes > 0) {
      if (!this.hold(sizeBytes)) return;
      this.connection.consume(this.stream, sizeBytes);
      if (!this.#hasRequest && this.#reader === undefined && this.#isWhole(bytes, start, end)) {
        this.request = lasting(bytes, start + PREFIX_BYTES, end);
        this.#hasRequest = true;
      } else if (!this.#gather(bytes, start, end)) return;
    }
    if (isEnd) this.#end();
  }

  succeed(response: Uint8Array, trailers: Metadata = NO_METADATA): void {
    if (this.isAnswered || !this.mayAnswer(response.length)) return;
    this.finish();
    if (this.#wantsCompressed === undefined)
      this.#send(this.head(false), response, false, trailers);
    else this.#sendMaybePacked(response, this.#wantsCompressed, trailers);
  }

  protected override finish(): void {
    super.finish();
    this.request = NO_BYTES;
    this.#reader = undefined;
  }

  /** An uncompressed message, all of it and nothing else, within the limit. */
  #isWhole(bytes: Uint8Array, start: number, end: number): boolean {
    const lengthBytes = end - start - PREFIX_BYTES;
    return (
      lengthBytes >= 0 &&
      bytes[start] === 0 &&
      (((bytes[start + 1] ?? 0) << 8) | (bytes[start + 2] ?? 0)) === lengthBytes >>> 16 &&
      (((bytes[start + 3] ?? 0) << 8) | (bytes[start + 4] ?? 0)) === (lengthBytes & 0xffff) &&
      lengthBytes <= this.served.limits.messageBytes
    );
  }

  /** False: the call was failed. */
  #gather(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#hasRequest) {
      this.tooMany('more');
      return false;
    }
    try {
      this.#reader ??= new MessageReader(this.served.limits.messageBytes);
      this.#reader.push(bytes, start, end);
      const message = this.#reader.next();
      if (message === undefined) return true;
      this.request = message;
      this.#hasRequest = true;
      this.isRequestCompressed = this.#reader.isCompressed;
      if (this.isRequestCompressed) checkMayBeCompressed(this.route.head.encoding);
    } catch (thrown) {
      this.fail(this.served.refusalOfMessage(thrown));
      return false;
    }
    return this.#isAll(this.#reader);
  }

  /** False: there is something behind the message, and the call was failed. */
  #isAll(reader: MessageReader): boolean {
    try {
      reader.end();
      return true;
    } catch {
      this.tooMany('more');
      return false;
    }
  }

  #end(): void {
    if (!this.#hasRequest) this.#endShort();
    else if (this.isRequestCompressed) this.#inflate();
    else this.#run();
  }

  #endShort(): void {
    try {
      this.#reader?.end();
      this.tooMany('none');
    } catch (thrown) {
      this.fail(this.served.refusalOfMessage(thrown));
    }
  }

  #inflate(): void {
    const isWanted = (): boolean => !this.isAnswered;
    this.served.inflate(this.request, isWanted, (result) => {
      if (result instanceof StatusError) this.fail(this.served.refusalOfMessage(result));
      else if (this.hold(result.length)) {
        this.request = result;
        this.#run();
      }
    });
  }

  #run(): void {
    try {
      this.served.backend.unary(this);
    } catch (thrown) {
      this.threw(thrown);
    }
  }

  #send(head: HeadersToSend, message: Uint8Array, isCompressed: boolean, trailers: Metadata): void {
    const { stream } = this;
    this.connection.sendHeaders(stream, head, false);
    this.served.sendMessage(stream, message, isCompressed);
    this.sendStatus(Code.OK, '', trailers);
  }

  #sendMaybePacked(message: Uint8Array, isWanted: boolean, trailers: Metadata): void {
    const isAccepted = this.route.head.accepts('gzip');
    const head = this.head(isAccepted);
    if (!(isAccepted && isWanted)) {
      this.#send(head, message, false, trailers);
      return;
    }
    const packed = deflateNow(message);
    if (packed !== undefined) this.#send(head, packed, true, trailers);
    else {
      deflateLater(message, (result) => {
        if (result instanceof StatusError) this.sendStatus(result.code, result.message, trailers);
        else this.#send(head, result, true, trailers);
      });
    }
  }
}
