// The commands' view of a running Torus: its gateway, over HTTP. Answers are JSON; an error's JSON
// has the text and the gRPC code, and becomes a StatusError here, once.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { Code, type CodeName, StatusError, statusOf } from '../../common/status.ts';

export const DEFAULT_SERVER = 'http://127.0.0.1:8000';
/** A call that is answered with JSON at once; uploads and watches have no such bound. */
const CALL_TIMEOUT_MS = 30_000;

export interface UploadFile {
  readonly path: string;
  /** Where it goes in what is uploaded: 'model.onnx', 'digits.csv'. */
  readonly name: string;
}

export interface RestClient {
  readonly server: string;
  /** @throws StatusError with the server's code; UNAVAILABLE when nobody answers. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Streams one file as the body. `onBytes` is told of the bytes sent so far. */
  upload(path: string, file: string, onBytes?: (sent: number) => void): Promise<unknown>;
  /** The objects of a server-sent event stream, until it ends. */
  watch(path: string, signal?: AbortSignal): AsyncIterable<unknown>;
}

export function restClient(server: string): RestClient {
  const base = server.replace(/\/+$/, '');
  const request = async (path: string, init: RequestInit): Promise<Response> => {
    try {
      const response = await fetch(`${base}${path}`, init);
      if (response.ok) return response;
      throw await errorOf(response);
    } catch (thrown) {
      throw unreachable(thrown, base);
    }
  };
  return {
    server: base,
    call: async (method, path, body) => {
      const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
      const withBody =
        body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      const response = await request(path, { method, signal, ...withBody });
      const text = await response.text();
      return text === '' ? undefined : (JSON.parse(text) as unknown);
    },
    upload: async (path, file, onBytes) => {
      const { size } = await stat(file).catch((cause: unknown) => {
        throw new StatusError(Code.NOT_FOUND, `file ${file} can't be read: ${String(cause)}`);
      });
      const response = await request(path, {
        method: 'POST',
        body: Readable.toWeb(counted(file, onBytes)) as ReadableStream,
        duplex: 'half',
        headers: { 'content-type': 'application/octet-stream', 'content-length': String(size) },
      } as RequestInit);
      return (await response.json()) as unknown;
    },
    watch: async function* (path, signal) {
      const init = signal === undefined ? {} : { signal };
      const response = await request(path, { headers: { accept: 'text/event-stream' }, ...init });
      if (response.body === null) return;
      yield* events(response.body);
    },
  };
}

function counted(file: string, onBytes: ((sent: number) => void) | undefined): Readable {
  let sent = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      sent += chunk.length;
      onBytes?.(sent);
      callback(null, chunk);
    },
  });
  const source = createReadStream(file);
  source.on('error', (cause) => count.destroy(cause));
  return source.pipe(count);
}

/** The JSON objects of `data:` lines (server-sent events, HTML standard 9.2). */
async function* events(body: ReadableStream<Uint8Array>): AsyncIterable<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end).trimEnd();
      text = text.slice(end + 1);
      if (line.startsWith('data:')) yield JSON.parse(line.slice('data:'.length)) as unknown;
    }
  }
}

async function errorOf(response: Response): Promise<StatusError> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { error?: unknown; code?: unknown };
    const message = typeof body.error === 'string' ? body.error : text;
    const name = typeof body.code === 'string' ? body.code : '';
    const code = Object.hasOwn(Code, name) ? Code[name as CodeName] : codeOfHttp(response.status);
    return new StatusError(code, message);
  } catch {
    return new StatusError(codeOfHttp(response.status), text || `HTTP status ${response.status}`);
  }
}

function codeOfHttp(status: number): Code {
  if (status === 404) return Code.NOT_FOUND;
  if (status === 409) return Code.ALREADY_EXISTS;
  if (status === 413 || status === 429) return Code.RESOURCE_EXHAUSTED;
  if (status === 502 || status === 503) return Code.UNAVAILABLE;
  if (status === 504) return Code.DEADLINE_EXCEEDED;
  return status < 500 ? Code.INVALID_ARGUMENT : Code.INTERNAL;
}

function unreachable(thrown: unknown, base: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const error = thrown as { name?: string; cause?: { code?: string } };
  if (error.name === 'TimeoutError') {
    return new StatusError(Code.DEADLINE_EXCEEDED, `${base} did not answer within 30 s`);
  }
  if (error.name !== 'TypeError') return statusOf(thrown);
  const why = error.cause?.code ?? String(thrown);
  return new StatusError(
    Code.UNAVAILABLE,
    `no Torus answers at ${base} (${why}): start one with 'npm start' or 'torus up', or name ` +
      'another with --server URL',
    { cause: thrown },
  );
}
