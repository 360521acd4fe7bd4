// A caller of another make (node:http2) that sends what bytes and header fields it likes, and keeps
// what it is answered as it came.
import http2 from 'node:http2';
import { ModelInferRequest } from '../../proto/gen/inference/grpc_service.ts';
import { MODEL_INFER } from '../../router/forward.ts';
import { messagePrefix } from '../../transport/grpc/message-prefix.ts';

/** A request for 'm' with one tensor of so many bytes, its fields in their order. */
export function inferRequest(sizeBytes: number, more: Partial<ModelInferRequest> = {}): Buffer {
  const message = ModelInferRequest.fromPartial({
    modelName: 'm',
    rawInputContents: [new Uint8Array(sizeBytes).fill(3)],
    ...more,
  });
  return Buffer.from(ModelInferRequest.encode(message).finish());
}

export const framed = (message: Uint8Array, isPacked = false): Buffer =>
  Buffer.concat([messagePrefix(message.length, isPacked), message]);

export interface Answer {
  readonly status: string;
  readonly text: string;
  readonly body: Buffer;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  /** 'name: value', in the order in which they came, each as often as it came. */
  readonly headerLines: readonly string[];
  readonly trailerLines: readonly string[];
}

export interface RawCaller {
  readonly session: http2.ClientHttp2Session;
  /** Opens a call; the caller writes its content. */
  open(headers?: http2.OutgoingHttpHeaders): http2.ClientHttp2Stream;
  send(pieces: readonly Uint8Array[], headers?: http2.OutgoingHttpHeaders): Promise<Answer>;
}

export function rawCaller(address: string): RawCaller {
  // What it writes counts too: a full one would reset its own streams.
  const session = http2.connect(`http://${address}`, { maxSessionMemory: 1_000 });
  session.on('error', () => {});
  const open = (headers: http2.OutgoingHttpHeaders = {}): http2.ClientHttp2Stream => {
    const stream = session.request({
      ':method': 'POST',
      ':path': MODEL_INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.on('error', () => {});
    return stream;
  };
  return {
    session,
    open,
    async send(pieces, headers) {
      const stream = open(headers);
      const answer = answerOf(stream);
      for (const piece of pieces) stream.write(piece);
      stream.end();
      return answer;
    },
  };
}

/** Reads the whole answer; of one that broke off, what came. */
export async function answerOf(stream: http2.ClientHttp2Stream): Promise<Answer> {
  const chunks: Buffer[] = [];
  let [headers, trailers]: http2.IncomingHttpHeaders[] = [{}, {}];
  let [headerLines, trailerLines]: string[][] = [[], []];
  stream.on('response', (got, _flags, raw: readonly string[]) => {
    headers = got;
    headerLines = linesOf(raw);
  });
  stream.on('trailers', (got, _flags, raw: readonly string[]) => {
    trailers = got;
    trailerLines = linesOf(raw);
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => stream.once('close', resolve));
  const last = 'grpc-status' in (trailers ?? {}) ? trailers : headers;
  return {
    status: String(last?.['grpc-status']),
    text: decodeURIComponent(String(last?.['grpc-message'] ?? '')),
    body: Buffer.concat(chunks),
    headers: headers ?? {},
    trailers: trailers ?? {},
    headerLines: headerLines ?? [],
    trailerLines: trailerLines ?? [],
  };
}

/** @param raw names and values by turns */
export function linesOf(raw: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) lines.push(`${raw[at]}: ${raw[at + 1]}`);
  return lines;
}
