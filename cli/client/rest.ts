// The commands' view of a running Torus: its gateway, over HTTP. Answers are JSON; an error's JSON
// has the text and the gRPC code, and becomes a StatusError here, once.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import {
  Code,
  type CodeName,
  invalidArgument,
  StatusError,
  statusOf,
} from '../../common/status.ts';
import { bodyText, type HttpPeer, httpCall, postStream } from '../../stores/blobs/http-call.ts';
import { diskError, errnoOf } from '../../stores/disk-error.ts';

export const DEFAULT_SERVER = 'http://127.0.0.1:8000';
/** A call that is answered with JSON at once; uploads and watches have no such bound. */
const CALL_TIMEOUT_MS = 30_000;

const JSON_TYPE = { 'content-type': 'application/json' };

/** Told of the bytes sent so far, of all. */
export type OnBytes = (sentBytes: number, sizeBytes: number) => void;

export interface RestClient {
  readonly server: string;
  /** @throws StatusError with the server's code; UNAVAILABLE when nobody answers. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Streams one file as the body. */
  upload(path: string, file: string, onBytes?: OnBytes): Promise<unknown>;
  /** The objects of a server-sent event stream, until it ends. */
  watch(path: string): AsyncIterable<unknown>;
}

/**
 * The base of a server's URLs, given as that or as host:port, as the ready line has it.
 * @throws INVALID_ARGUMENT
 */
export function serverUrl(given: string): string {
  const url = given.includes('://') ? given : `http://${given}`;
  if (/^https?:/i.test(url) && URL.canParse(url)) return url.replace(/\/+$/, '');
  throw invalidArgument(
    `--server ${JSON.stringify(given)}: give the gateway's address, like ${DEFAULT_SERVER}`,
  );
}

/**
 * @param stop ends whatever is under way, with CANCELLED.
 * @param peer by which certificates the server is known, and what it is shown.
 * @throws INVALID_ARGUMENT when the server's address is none.
 */
export function restClient(
  server: string,
  stop: AbortSignal = new AbortController().signal,
  peer: HttpPeer = {},
): RestClient {
  const base = serverUrl(server);
  const request = async (method: string, path: string, json?: string): Promise<string> => {
    const signal = AbortSignal.any([stop, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    const withBody = json === undefined ? {} : { body: json, headers: JSON_TYPE };
    try {
      const answer = await httpCall(`${base}${path}`, { method, signal, ...withBody }, peer);
      const text = await bodyText(answer, signal);
      if (isOk(answer)) return text;
      throw errorOf(answer.statusCode ?? 0, text, base);
    } catch (thrown) {
      throw unreachable(thrown, base, stop);
    }
  };
  return {
    server: base,
    call: async (method, path, body) => {
      const text = await request(method, path, body === undefined ? body : JSON.stringify(body));
      return text === '' ? undefined : jsonOf(text, base);
    },
    upload: async (path, file, onBytes) => {
      const sizeBytes = await sizeOf(file);
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': String(sizeBytes),
      };
      const body = contentOf(file, sizeBytes, onBytes);
      try {
        const posted = { headers, body, signal: stop };
        const { status, text } = await postStream(`${base}${path}`, posted, peer);
        if (status >= 300) throw errorOf(status, text, base);
        return jsonOf(text, base);
      } catch (thrown) {
        throw unreachable(thrown, base, stop);
      }
    },
    watch: async function* (path) {
      try {
        const headers = { accept: 'text/event-stream' };
        const idleTimeoutMs = Number.POSITIVE_INFINITY;
        const watch = { method: 'GET', headers, signal: stop, idleTimeoutMs };
        const answer = await httpCall(`${base}${path}`, watch, peer);
        if (!isOk(answer)) {
          throw errorOf(answer.statusCode ?? 0, await bodyText(answer, stop), base);
        }
        yield* events(answer);
      } catch (thrown) {
        throw unreachable(thrown, base, stop);
      }
    },
  };
}

function isOk({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
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
  onBytes: OnBytes | undefined,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      sent += chunk.length;
      if (sent > sizeBytes) break;
      yield chunk;
      onBytes?.(sent, sizeBytes);
    }
  } catch (cause) {
    throw diskError(cause, 'read the file', file);
  }
  if (sent === sizeBytes) return;
  throw new StatusError(Code.ABORTED, `file ${file} changed while it was sent: send it again`);
}

/** The JSON objects of `data:` lines (server-sent events, HTML standard 9.2). */
async function* events(body: AsyncIterable<Uint8Array>): AsyncIterable<unknown> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end).trimEnd();
      text = text.slice(end + 1);
      if (line.startsWith('data:')) yield JSON.parse(line.slice('data:'.length)) as unknown;
    }
  }
}

function jsonOf(text: string, base: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw noGateway(base);
  }
}

/** Something else listens there: the metrics listener, any web server. */
function noGateway(base: string): StatusError {
  return new StatusError(
    Code.UNAVAILABLE,
    `what answers at ${base} is no gateway of Torus: --server takes the http= address of its ` +
      'ready line',
  );
}

function errorOf(status: number, text: string, base: string): StatusError {
  try {
    const body = JSON.parse(text) as { error?: unknown; code?: unknown };
    const message = typeof body.error === 'string' ? body.error : text;
    const name = typeof body.code === 'string' ? body.code : '';
    const code = Object.hasOwn(Code, name) ? Code[name as CodeName] : codeOfHttp(status);
    return new StatusError(code, message);
  } catch {
    if (status === 404) return noGateway(base);
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

function unreachable(thrown: unknown, base: string, stop: AbortSignal): StatusError {
  if (stop.aborted) return new StatusError(Code.CANCELLED, 'interrupted', { cause: thrown });
  if (thrown instanceof StatusError) return thrown;
  if ((thrown as { name?: string }).name === 'TimeoutError') {
    return new StatusError(Code.DEADLINE_EXCEEDED, `${base} did not answer within 30 s`);
  }
  const why = errnoOf(thrown);
  if (why === '') return statusOf(thrown);
  if (/CERT|SSL|TLS|SELF_SIGNED|ISSUER/.test(why)) {
    const { message } = statusOf(thrown);
    const text = `no TLS with ${base}: ${message}: --server-ca names the file of who signed it`;
    return new StatusError(Code.UNAVAILABLE, text, { cause: thrown });
  }
  return new StatusError(
    Code.UNAVAILABLE,
    `no Torus answers at ${base} (${why}): start one with 'npm start' or ` +
      "'torus up', or name another with --server URL",
    { cause: thrown },
  );
}
