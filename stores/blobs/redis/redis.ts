// Blobs in a Redis server of their own, which never evicts and writes each change to its disk
// before it answers; any other is refused. A blob is a hash of chunks; its content comes in under a
// name that expires, and takes its own when all of it is there.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Redis, type RedisOptions } from 'ioredis';
import { isSha256 } from '../../../common/names.ts';
import { Code, hasCode, StatusError, unavailable } from '../../../common/status.ts';
import type { BlobInfo, BlobListing, BlobRange, BlobStore, BlobWriteOptions } from '../blobs.ts';
import { Intake } from '../intake.ts';
import { checkListLimit, noSuchBlob, pastEnd, startOf } from '../limits.ts';
import { parseRedisBlobsAddress, type RedisBlobsAddress } from './address.ts';
import { redisBlobsError } from './errors.ts';
import { checkNotRegistry } from './not-registry.ts';

/** Redis answers nobody else while it moves one. */
const CHUNK_BYTES = 512 * 1024;
/** Content of which nothing came for so long is forgotten: its writer is gone. */
const ABANDONED_S = 60 * 60;
const CONNECT_TIMEOUT_MS = 2_000;
/** A command without an answer by then is UNAVAILABLE: a disk under it may be slow. */
const DEFAULT_COMMAND_TIMEOUT_MS = 10_000;
const MAX_RETRY_MS = 500;

/** What a server must say for content to be safe there, with what that is for. */
const REQUIRED: readonly (readonly [setting: string, value: string, why: string])[] = [
  ['maxmemory-policy', 'noeviction', 'it would drop blobs to make room'],
  ['appendonly', 'yes', 'it would lose blobs when it ends'],
  ['appendfsync', 'always', 'it would lose the last blobs when its machine fails'],
  ['cluster-enabled', 'no', 'blobs are kept on one server: use S3 for more'],
];

export interface RedisBlobsOptions {
  /** The registry's address: the blobs must be elsewhere. */
  readonly registry?: string;
  readonly commandTimeoutMs?: number;
  /** True: a server that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
}

/**
 * @param url as parseRedisBlobsAddress reads it
 * @throws INVALID_ARGUMENT, FAILED_PRECONDITION for a server that is not safe, UNAVAILABLE,
 * UNAUTHENTICATED, PERMISSION_DENIED
 */
export async function openRedisBlobs(
  url: string,
  options: RedisBlobsOptions = {},
): Promise<BlobStore> {
  const address = parseRedisBlobsAddress(url);
  if (options.registry !== undefined) await checkNotRegistry(address, options.registry);
  const store = new RedisBlobs(address, options);
  try {
    await store.connect();
  } catch (thrown) {
    if (options.mayBeAway === true && hasCode(thrown, Code.UNAVAILABLE)) return store;
    await store.close();
    throw thrown;
  }
  return store;
}

class RedisBlobs implements BlobStore {
  readonly #address: RedisBlobsAddress;
  readonly #client: Redis;
  readonly #closing = new AbortController();
  readonly #writes = new Set<Promise<unknown>>();
  /** Of this connection: after another the server may be another. */
  #safe: Promise<void> | undefined;
  /** Why there is no connection; calls are only told that there is none. */
  #lastError: unknown;

  constructor(address: RedisBlobsAddress, options: RedisBlobsOptions) {
    this.#address = address;
    this.#client = new Redis(clientOptions(address, options));
    this.#client.defineCommand('keepBlob', {
      numberOfKeys: 3,
      lua: readFileSync(new URL('./keep.lua', import.meta.url), 'utf8'),
    });
    this.#client.on('error', (error: unknown) => {
      this.#lastError = error;
    });
    this.#client.on('ready', () => {
      this.#lastError = undefined;
    });
    this.#client.on('close', () => {
      this.#safe = undefined;
    });
  }

  async connect(): Promise<void> {
    await this.#on('open the blobs', () => this.#client.connect());
    await this.#checkSafe();
  }

  /** @throws FAILED_PRECONDITION when the server does not keep what it is given */
  #checkSafe(): Promise<void> {
    this.#safe ??= this.#askSafe().catch((thrown: unknown) => {
      this.#safe = undefined;
      throw thrown;
    });
    return this.#safe;
  }

  async #askSafe(): Promise<void> {
    for (const [setting, value, why] of REQUIRED) {
      const reply = await this.#on('ask for the settings of the blobs', () =>
        this.#client.call('CONFIG', 'GET', setting),
      );
      const found = Array.isArray(reply) ? String(reply[1]) : '';
      if (found === value) continue;
      throw new StatusError(
        Code.FAILED_PRECONDITION,
        `blobs are not safe at ${this.#address.shown}, where ${setting} is '${found}': ${why}; ` +
          `set it to '${value}'`,
      );
    }
  }

  async stat(sha256: string): Promise<BlobInfo | undefined> {
    this.#checkOpen();
    if (!isSha256(sha256)) return undefined;
    const size = await this.#on('read a blob', () => this.#client.hget(this.#blob(sha256), 'size'));
    return size === null ? undefined : { sha256, sizeBytes: Number(size) };
  }

  async *read(sha256: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    this.#checkOpen();
    const startByte = startOf(range);
    if (!isSha256(sha256)) throw noSuchBlob(sha256);
    const blob = this.#blob(sha256);
    const [size, chunk] = await this.#on('read a blob', () =>
      this.#client.hmget(blob, 'size', 'chunk'),
    );
    if (size == null || chunk == null) throw noSuchBlob(sha256);
    const [sizeBytes, chunkBytes] = [Number(size), Number(chunk)];
    if (startByte > sizeBytes) throw pastEnd(startByte, sizeBytes);
    for (let at = startByte; at < sizeBytes; ) {
      const number = Math.floor(at / chunkBytes);
      const bytes = await this.#on('read a blob', () =>
        this.#client.hgetBuffer(blob, String(number)),
      );
      if (bytes === null) throw unavailable(`the blob ${sha256} was removed while it was read`);
      const part = bytes.subarray(at - number * chunkBytes);
      if (part.length === 0) throw new StatusError(Code.DATA_LOSS, `the blob ${sha256} is damaged`);
      yield part;
      at += part.length;
    }
  }

  write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo> {
    const writing = this.#write(source, options);
    this.#writes.add(writing);
    const forget = () => this.#writes.delete(writing);
    writing.then(forget, forget);
    return writing;
  }

  async #write(source: AsyncIterable<Uint8Array>, options: BlobWriteOptions): Promise<BlobInfo> {
    this.#checkOpen();
    const intake = new Intake(options);
    await this.#checkSafe();
    const incoming = `${this.#address.prefix}:blobs:incoming:${randomUUID()}`;
    try {
      let chunks = 0;
      for await (const block of intake.blocks(source, CHUNK_BYTES, this.#closing.signal)) {
        if (block.length === 0) continue;
        await this.#on('write a blob', () => this.#append(incoming, chunks, block));
        chunks += 1;
      }
      await this.#keep(incoming, intake.info, chunks);
      return intake.info;
    } catch (thrown) {
      // Without a connection it stays until it expires.
      await this.#client.unlink(incoming).catch(() => undefined);
      throw thrown;
    }
  }

  async #append(incoming: string, number: number, block: Buffer): Promise<void> {
    await this.#client.hset(incoming, String(number), block);
    await this.#client.expire(incoming, ABANDONED_S);
  }

  async #keep(incoming: string, { sha256, sizeBytes }: BlobInfo, chunks: number): Promise<void> {
    const keys = [incoming, this.#blob(sha256), this.#index];
    const facts = [sha256, sizeBytes, chunks, CHUNK_BYTES];
    const keep: unknown = Reflect.get(this.#client, 'keepBlob');
    const said = await this.#on('write a blob', () =>
      (keep as Command).call(this.#client, ...keys, ...facts),
    );
    if (said === 'ok') return;
    throw unavailable(`the server at ${this.#address.shown} lost what it was given: try again`);
  }

  async remove(sha256: string): Promise<void> {
    this.#checkOpen();
    if (!isSha256(sha256)) return;
    const step = this.#client.multi().unlink(this.#blob(sha256)).zrem(this.#index, sha256);
    await this.#on('remove a blob', () => step.exec());
  }

  async list(after: string, limit: number): Promise<readonly BlobListing[]> {
    this.#checkOpen();
    checkListLimit(limit);
    const from = after === '' ? '-' : `(${after}`;
    const hashes = await this.#on('list the blobs', () =>
      this.#client.zrangebylex(this.#index, from, '+', 'LIMIT', 0, limit),
    );
    return await this.#on('list the blobs', () =>
      Promise.all(
        hashes.map(async (sha256) => {
          const facts = await this.#client.hmget(this.#blob(sha256), 'size', 'written');
          return { sha256, sizeBytes: Number(facts[0]), writtenMs: Number(facts[1]) };
        }),
      ),
    );
  }

  async close(): Promise<void> {
    this.#closing.abort(closed());
    await Promise.allSettled(this.#writes);
    this.#client.disconnect();
  }

  #blob(sha256: string): string {
    return `${this.#address.prefix}:blob:${sha256}`;
  }

  get #index(): string {
    return `${this.#address.prefix}:blobs`;
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw closed();
  }

  async #on<Result>(doing: string, action: () => Promise<Result>): Promise<Result> {
    try {
      return await action();
    } catch (thrown) {
      const isReply = thrown instanceof Error && thrown.name === 'ReplyError';
      const why = isReply || thrown instanceof StatusError ? thrown : (this.#lastError ?? thrown);
      throw redisBlobsError(why, `${doing} at ${this.#address.shown}`);
    }
  }
}

type Command = (...args: (string | number)[]) => Promise<unknown>;

function clientOptions(
  { host, port, db, username, password, tls }: RedisBlobsAddress,
  { commandTimeoutMs = DEFAULT_COMMAND_TIMEOUT_MS }: RedisBlobsOptions,
): RedisOptions & { readonly replyMapping: 'legacy' } {
  return {
    host,
    port,
    db,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
    connectionName: 'torus-blobs',
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: commandTimeoutMs,
    // A connection that owes an answer and is silent is dropped, not only its commands.
    socketTimeout: commandTimeoutMs + 1_000,
    retryStrategy: (attempt) => Math.min(MAX_RETRY_MS, 20 * attempt),
    // A server that reads its file when it starts is asked again soon, whatever it guesses.
    maxLoadingRetryTime: MAX_RETRY_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    lazyConnect: true,
    replyMapping: 'legacy',
  };
}

function closed(): StatusError {
  return unavailable('the blob store is closed');
}
