// Sends a body that is made while it is sent. Node's fetch keeps every chunk of a streamed request
// body in memory until the request has ended (seen with Node 24: arrayBuffers grow by the size of
// the upload); node:http does not.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export interface PostedBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

export interface PostAnswer {
  readonly status: number;
  readonly text: string;
}

/** Longer than a server waits for a body that drips: it is the server which tells. */
const IDLE_TIMEOUT_MS = 60_000;

/**
 * An answer that comes before the body is out ends the sending.
 * @throws what the body threw, the signal's reason as the cause, or the connection's error
 */
export async function postStream(url: string, posted: PostedBody): Promise<PostAnswer> {
  const { headers, signal } = posted;
  const body = Readable.from(posted.body, { objectMode: false });
  const start = url.startsWith('https:') ? httpsRequest : httpRequest;
  // No agent: a connection that it keeps for later now and then keeps a command from ending until
  // the server closes it, more than a minute later (seen with Node 24, one upload in a hundred).
  const request = start(url, { method: 'POST', headers, signal, agent: false });
  request.setTimeout(IDLE_TIMEOUT_MS, () => {
    request.destroy(new Error(`nothing moved for ${IDLE_TIMEOUT_MS / 1000} s`));
  });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve);
      request.on('error', reject);
      body.once('error', (cause) => {
        reject(cause);
        request.destroy();
      });
      body.pipe(request);
    });
    return { status: response.statusCode ?? 0, text: await text(response) };
  } finally {
    body.unpipe(request);
    body.destroy();
  }
}
