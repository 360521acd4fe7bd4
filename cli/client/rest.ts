// The commands' view of a running Torus: its gateway, over HTTP. Answers are JSON; an error's JSON
// has the text and the gRPC code, and becomes a StatusError here, once.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Code, type CodeName, StatusError, statusOf } from '../../common/status.ts';
import { postStream } from '../../stores/blobs/http-post.ts';
import { diskError, errnoOf } from '../../stores/disk-error.ts';

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
      throw errorOf(response.status, await response.text());
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
      const sizeBytes = await sizeOf(file);
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': String(sizeBytes),
      };
      const { signal } = new AbortController();
      try {
        const body = contentOf(file, sizeBytes, onBytes);
        const { status, text } = await postStream(`${base}${path}`, { headers, body, signal });
        if (status >= 300) throw errorOf(status, text);
        return JSON.parse(text) as unknown;
      } catch (thrown) {
        throw unreachable(thrown, base);
      }
    },
    watch: async function* (path, signal) {
      const init = signal === undefined ? {} : { signal };
      const response = await request(path, { headers: { accept: 'text/event-stream' }, ...init });
      if (response.body === null) return;
      yield* events(response.body);
    },
  };
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw diskError(cause, 'read the file', file);
  }
}

/** The file as it was when its size was told: the server waits for exactly that. */
async function* contentOf(
  file: string,
  sizeBytes: number,
  onBytes: ((sent: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      sent += chunk.length;
      if (sent > sizeBytes) break;
      yield chunk;
      onBytes?.(sent);
    }
  } catch (cause) {
    throw diskError(cause, 'read the file', file);
  }
  if (sent === sizeBytes) return;
  throw new StatusError(Code.ABORTED, `file ${file} changed while it was sent: send it again`);
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

function errorOf(status: number, text: string): StatusError {
  try {
    const body = JSON.parse(text) as { error?: unknown; code?: unknown };
    const message = typeof body.error === 'string' ? body.error : text;
    const name = typeof body.code === 'string' ? body.code : '';
    const code = Object.hasOwn(Code, name) ? Code[name as CodeName] : codeOfHttp(status);
    return new StatusError(code, message);
  } catch {
    return new StatusError(codeOfHttp(status), text || `HTTP status ${status}`);
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
  const error = thrown as { name?: string; cause?: unknown };
  if (error.name === 'TimeoutError') {
    return new StatusError(Code.DEADLINE_EXCEEDED, `${base} did not answer within 30 s`);
  }
  // Of fetch it is a TypeError that has the cause; of node:http it is the cause itself.
  const why = errnoOf(thrown) || errnoOf(error.cause);
  if (why === '' && error.name !== 'TypeError') return statusOf(thrown);
  return new StatusError(
    Code.UNAVAILABLE,
    `no Torus answers at ${base} (${why || String(thrown)}): start one with 'npm start' or ` +
      "'torus up', or name another with --server URL",
    { cause: thrown },
  );
}
