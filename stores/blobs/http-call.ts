// One HTTP request over node:http, since Node's fetch keeps every chunk of a streamed request body
// in memory until the request has ended (seen with Node 24: arrayBuffers grow by the size of the
// upload), and takes no certificates.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type ClientTls, readTls } from '../../transport/client/dial.ts';

/** Whom one speaks to, and as whom. */
export interface HttpPeer {
  /** For https: addresses; absent: the machine's authorities, and no certificate of our own. */
  readonly tls?: ClientTls | undefined;
  /** Goes as 'authorization: Bearer ...'. */
  readonly bearerToken?: string | undefined;
}

export interface HttpCall {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text goes with its length. */
  readonly body?: string | AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** Without a byte for so long it has failed; by default IDLE_TIMEOUT_MS. Infinity: never. */
  readonly idleTimeoutMs?: number;
}

/** Longer than a server waits for a body that drips: it is the server which tells. */
const IDLE_TIMEOUT_MS = 60_000;

/**
 * Resolves with the answer's head; its body is read from it, or destroyed. An answer that comes
 * before the request's body is out ends the sending.
 * @throws what the body threw, the signal's reason, or the connection's error; FAILED_PRECONDITION
 * for TLS files that can't be read
 */
export async function httpCall(
  url: string,
  call: HttpCall,
  peer: HttpPeer = {},
): Promise<IncomingMessage> {
  const { signal, body } = call;
  signal.throwIfAborted();
  const request = startRequest(url, call, peer);
  const source = typeof body === 'object' ? Readable.from(body, { objectMode: false }) : undefined;
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve);
      request.on('error', reject);
      if (source === undefined) request.end(body);
      else {
        source.once('error', (cause) => {
          reject(cause);
          request.destroy();
        });
        source.pipe(request);
      }
    });
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown;
  } finally {
    source?.unpipe(request);
    source?.destroy();
  }
}

function startRequest(url: string, call: HttpCall, { tls, bearerToken }: HttpPeer) {
  const { method, signal, body, idleTimeoutMs = IDLE_TIMEOUT_MS } = call;
  const headers = {
    ...(typeof body === 'string' && { 'content-length': String(Buffer.byteLength(body)) }),
    ...call.headers,
    ...(bearerToken !== undefined && { authorization: `Bearer ${bearerToken}` }),
  };
  // No agent: a connection that it keeps for later now and then keeps a command from ending until
  // the server closes it, more than a minute later (seen with Node 24, one upload in a hundred).
  const options = { method, headers, signal, agent: false };
  const request = url.startsWith('https:')
    ? httpsRequest(url, { ...options, ...secured(url, tls) })
    : httpRequest(url, options);
  if (idleTimeoutMs !== Number.POSITIVE_INFINITY) {
    request.setTimeout(idleTimeoutMs, () => {
      request.destroy(new Error(`nothing moved for ${idleTimeoutMs / 1000} s`));
    });
  }
  return request;
}

function secured(url: string, tls: ClientTls = {}) {
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  return { ...readTls(tls, host), ALPNProtocols: ['http/1.1'] };
}

/** The whole of an answer's body. @throws as httpCall */
export async function bodyText(answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  try {
    return await text(answer);
  } catch (thrown) {
    throw signal.aborted ? signal.reason : thrown;
  }
}

export interface PostedBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

/** Sends a body that is made while it is sent. @throws as httpCall */
export async function postStream(
  url: string,
  posted: PostedBody,
  peer?: HttpPeer,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await httpCall(url, { method: 'POST', ...posted }, peer);
  return { status: answer.statusCode ?? 0, text: await bodyText(answer, posted.signal) };
}
