// A client for tests that says exactly what it is told to, wrong things too: node:http2 without any
// gRPC on top.
import http2 from 'node:http2';
import { messagePrefix } from '../grpc/message-prefix.ts';

export interface WireAnswer {
  readonly headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly content: Buffer;
  /** Of RST_STREAM; 0 where the stream ended well. */
  readonly resetCode: number;
}

/** A call, as far as it has come. */
export class WireCall {
  readonly stream: http2.ClientHttp2Stream;
  readonly ended: Promise<WireAnswer>;

  constructor(stream: http2.ClientHttp2Stream) {
    this.stream = stream;
    const { promise, resolve } = Promise.withResolvers<WireAnswer>();
    this.ended = promise;
    let headers: WireAnswer['headers'] = {};
    let trailers: http2.IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on('response', (received) => {
      headers = received;
    });
    stream.on('trailers', (received) => {
      trailers = received;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () => {
      const resetCode = stream.rstCode ?? 0;
      resolve({ headers, trailers, content: Buffer.concat(chunks), resetCode });
    });
  }

  /** The prefix of a message of `lengthBytes`, and these bytes behind it. */
  begin(lengthBytes: number, bytes: Uint8Array = Buffer.alloc(0), isCompressed = false): void {
    this.stream.write(Buffer.concat([messagePrefix(lengthBytes, isCompressed), bytes]));
  }

  message(bytes: Uint8Array, isCompressed = false): void {
    this.begin(bytes.length, bytes, isCompressed);
  }

  /** RST_STREAM with CANCEL. */
  cancel(): void {
    this.stream.close(http2.constants.NGHTTP2_CANCEL);
  }
}

export class WireClient {
  readonly session: http2.ClientHttp2Session;
  /** True once the server has said that it takes no more calls. */
  isTold = false;

  /** @param windowBytes what the server may send on each stream before it has to wait. */
  constructor(port: number, windowBytes = 65_535) {
    const settings = { initialWindowSize: windowBytes };
    this.session = http2.connect(`http://127.0.0.1:${port}`, { settings });
    this.session.on('error', () => {});
    this.session.on('goaway', () => {
      this.isTold = true;
    });
  }

  call(path: string, headers: http2.OutgoingHttpHeaders = {}): WireCall {
    const all = {
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    };
    return new WireCall(this.session.request(all, { endStream: false }));
  }

  /** One whole call. */
  async ask(
    path: string,
    message: Uint8Array,
    headers: http2.OutgoingHttpHeaders = {},
  ): Promise<WireAnswer> {
    const call = this.call(path, headers);
    call.message(message);
    call.stream.end();
    return await call.ended;
  }

  /** The connection is gone, without a word. */
  cut(): void {
    this.session.destroy();
  }
}

/** The grpc-status that came, in whatever place. */
export function statusOfAnswer({ headers, trailers }: WireAnswer): string {
  return String(trailers['grpc-status'] ?? headers['grpc-status'] ?? 'none');
}

/** The grpc-message that came. */
export function textOfAnswer({ headers, trailers }: WireAnswer): string {
  return decodeURIComponent(String(trailers['grpc-message'] ?? headers['grpc-message'] ?? ''));
}
