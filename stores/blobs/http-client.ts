// A blob store behind HTTP (stores/blobs/http-server.ts), as a BlobStore.
import type { IncomingMessage } from 'node:http';
import { systemClock } from '../../common/clock.ts';
import { isSha256 } from '../../common/names.ts';
import { paced, within } from '../../common/paced.ts';
import { Code, StatusError, statusOf, unavailable } from '../../common/status.ts';
import type { BlobInfo, BlobListing, BlobRange, BlobStore, BlobWriteOptions } from './blobs.ts';
import { bodyText, type HttpPeer, httpCall, postStream } from './http-call.ts';
import { blobInfo, blobList, EXPECTED_HEADER, errorFrom, MAX_BYTES_HEADER } from './http-wire.ts';
import { blobTooLarge, checkListLimit, checkWriteOptions, noSuchBlob, startOf } from './limits.ts';

/** A server that sends nothing for so long while something is owed is given up: UNAVAILABLE. */
const DEFAULT_IDLE_TIMEOUT_MS = 20_000;

export interface HttpBlobsOptions extends HttpPeer {
  readonly idleTimeoutMs?: number;
}

/** @param base 'http://host:port' */
export function httpBlobs(base: string, options: HttpBlobsOptions = {}): BlobStore {
  return new HttpBlobs(base.replace(/\/+$/, ''), options);
}

class HttpBlobs implements BlobStore {
  readonly #base: string;
  readonly #idleTimeoutMs: number;
  readonly #peer: HttpPeer;
  readonly #closing = new AbortController();

  constructor(base: string, options: HttpBlobsOptions) {
    this.#base = base;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS;
    this.#peer = options;
  }

  async #call(path: string, method = 'GET', headers = {}): Promise<IncomingMessage> {
    const ending = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, ending.signal]);
    const late = (): StatusError => {
      const error = unavailable(`the blob server at ${this.#base} did not answer in time`);
      ending.abort(error);
      return error;
    };
    try {
      // Once it answers, its silence is for who reads the body.
      const idleTimeoutMs = Number.POSITIVE_INFINITY;
      const call = { method, headers, signal, idleTimeoutMs };
      const answer = httpCall(`${this.#base}${path}`, call, this.#peer);
      return await within(answer, this.#idleTimeoutMs, systemClock, late);
    } catch (thrown) {
      throw this.#unreachable(thrown);
    }
  }

  #unreachable(thrown: unknown): StatusError {
    if (thrown instanceof StatusError) return thrown;
    return unavailable(`no blob server answers at ${this.#base}: ${String(thrown)}`);
  }

  async #ok(answer: IncomingMessage): Promise<IncomingMessage> {
    const { statusCode: status = 0 } = answer;
    if (status >= 200 && status < 300) return answer;
    throw errorFrom(status, await this.#text(answer));
  }

  async #text(answer: IncomingMessage): Promise<string> {
    const { signal } = this.#closing;
    const late = (): StatusError => {
      answer.destroy();
      return unavailable(`the blob server at ${this.#base} stopped in its answer`);
    };
    return await within(bodyText(answer, signal), this.#idleTimeoutMs, systemClock, late);
  }

  async stat(sha256: string): Promise<BlobInfo | undefined> {
    if (!isSha256(sha256)) return undefined;
    const answer = await this.#call(`/blobs/${sha256}`, 'HEAD');
    answer.resume();
    if (answer.statusCode === 404) return undefined;
    if (answer.statusCode !== 200) throw errorFrom(answer.statusCode ?? 0, '');
    return { sha256, sizeBytes: Number(answer.headers['content-length']) };
  }

  async *read(sha256: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    const startByte = startOf(range);
    if (!isSha256(sha256)) throw noSuchBlob(sha256);
    const headers = startByte === 0 ? {} : { range: `bytes=${startByte}-` };
    const answer = await this.#ok(await this.#call(`/blobs/${sha256}`, 'GET', headers));
    const body = answer[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    try {
      yield* paced(body, { windowMs: this.#idleTimeoutMs, minBytes: 1 }, systemClock);
    } catch (thrown) {
      // Too slow, cut, or closed by us: each may be another time.
      const error = statusOf(thrown, Code.UNAVAILABLE);
      throw error.code === Code.DEADLINE_EXCEEDED ? unavailable(error.message) : error;
    } finally {
      // Not waited for: behind a byte that never comes it would wait for ever.
      body.return?.().catch(() => undefined);
    }
  }

  async write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo> {
    checkWriteOptions(options);
    const { maxBytes, expectedSha256 } = options;
    const outcome: { failure?: unknown } = {};
    const headers = {
      'content-type': 'application/octet-stream',
      [MAX_BYTES_HEADER]: String(maxBytes),
      ...(expectedSha256 === undefined ? {} : { [EXPECTED_HEADER]: expectedSha256 }),
    };
    try {
      this.#closing.signal.throwIfAborted();
      const body = counted(source, maxBytes, outcome);
      const signal = this.#closing.signal;
      const posted = { headers, body, signal };
      const { status, text } = await postStream(`${this.#base}/blobs`, posted, this.#peer);
      if (status !== 201) throw errorFrom(status, text);
      return blobInfo.parse(JSON.parse(text));
    } catch (thrown) {
      // What the source itself threw is the reason; the cut connection only follows from it.
      throw outcome.failure ?? this.#unreachable(thrown);
    }
  }

  async remove(sha256: string): Promise<void> {
    if (!isSha256(sha256)) return;
    (await this.#ok(await this.#call(`/blobs/${sha256}`, 'DELETE'))).resume();
  }

  async list(after: string, limit: number): Promise<readonly BlobListing[]> {
    checkListLimit(limit);
    const query = new URLSearchParams({ after, limit: String(limit) });
    const answer = await this.#ok(await this.#call(`/blobs?${query}`));
    return blobList.parse(JSON.parse(await this.#text(answer))).blobs;
  }

  async close(): Promise<void> {
    this.#closing.abort(unavailable('the blob store is closed'));
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  outcome: { failure?: unknown },
): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0;
  try {
    for await (const chunk of source) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > maxBytes) throw blobTooLarge(maxBytes);
      yield chunk;
    }
  } catch (thrown) {
    outcome.failure = thrown;
    throw thrown;
  }
}
