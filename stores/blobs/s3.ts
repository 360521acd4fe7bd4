// Blobs as objects of an S3 bucket: blobs/SHA256 below the address's prefix. Content whose hash is
// not known before it is too large for one request goes to incoming/ first, and is copied to its
// name inside the bucket.
import { randomUUID } from 'node:crypto';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { abortable } from '../../common/abortable.ts';
import { isSha256 } from '../../common/names.ts';
import { Code, hasCode, type StatusError, unavailable } from '../../common/status.ts';
import type { BlobInfo, BlobListing, BlobRange, BlobStore, BlobWriteOptions } from './blobs.ts';
import { Intake } from './intake.ts';
import { checkListLimit, noSuchBlob, pastEnd, startOf } from './limits.ts';
import { DEFAULT_REGION, parseS3Address, type S3Address } from './s3-address.ts';
import { httpStatusOf, nameOf, s3Error } from './s3-error.ts';
import {
  type Bucket,
  copy,
  DEFAULT_COPY_BYTES,
  PART_BYTES,
  putParts,
  putWhole,
  sweep,
} from './s3-upload.ts';

/** What content is gathered in. */
const BLOCK_BYTES = 256 * 1024;
/** To make a connection; longer counts as a failed attempt. */
const DEFAULT_CONNECT_TIMEOUT_MS = 3_000;
/** A connection on which nothing moves for so long, with a request under way, is given up. */
const DEFAULT_IDLE_TIMEOUT_MS = 20_000;
/** Of one request, with growing pauses between them; then UNAVAILABLE. */
const MAX_ATTEMPTS = 3;
/** What is under way may clean up for so long when the store is closed. */
const CLOSE_TIMEOUT_MS = 5_000;

export interface S3BlobsOptions {
  /** Absent: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  /** Default DEFAULT_COPY_BYTES. */
  readonly copyBytes?: number;
  /** True: a service that is away does not keep this from opening. */
  readonly mayBeAway?: boolean;
  /** Milliseconds since 1970. */
  readonly dateMs?: () => number;
}

/**
 * @param url as parseS3Address reads it
 * @throws INVALID_ARGUMENT, UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION
 * (no such bucket, another region)
 */
export async function openS3Blobs(url: string, options: S3BlobsOptions = {}): Promise<BlobStore> {
  const store = new S3Blobs(parseS3Address(url), options);
  try {
    await store.check();
  } catch (thrown) {
    if (options.mayBeAway === true && hasCode(thrown, Code.UNAVAILABLE)) return store;
    await store.close();
    throw thrown;
  }
  return store;
}

class S3Blobs implements BlobStore {
  readonly #address: S3Address;
  readonly #options: S3BlobsOptions;
  readonly #bucket: Bucket;
  readonly #closing = new AbortController();
  readonly #writes = new Set<Promise<unknown>>();

  constructor(address: S3Address, options: S3BlobsOptions) {
    this.#address = address;
    this.#options = options;
    this.#bucket = { client: clientFor(address, options), name: address.bucket };
  }

  async check(): Promise<void> {
    const { client, name } = this.#bucket;
    await this.#on('open the blobs', client.send(new HeadBucketCommand({ Bucket: name })));
    const { prefix } = this.#address;
    const dateMs = (this.#options.dateMs ?? Date.now)();
    // A store that is only read may not be allowed to: then it is another's to sweep.
    await sweep(this.#bucket, prefix, this.#incoming(''), dateMs).catch(() => undefined);
  }

  async stat(sha256: string): Promise<BlobInfo | undefined> {
    this.#checkOpen();
    if (!isSha256(sha256)) return undefined;
    const head = new HeadObjectCommand({ Bucket: this.#bucket.name, Key: this.#key(sha256) });
    try {
      const { ContentLength } = await this.#bucket.client.send(head);
      return { sha256, sizeBytes: ContentLength ?? 0 };
    } catch (thrown) {
      if (httpStatusOf(thrown) === 404) return undefined;
      throw this.#error('read a blob', thrown);
    }
  }

  async *read(sha256: string, range?: BlobRange): AsyncGenerator<Uint8Array> {
    this.#checkOpen();
    const startByte = startOf(range);
    if (!isSha256(sha256)) throw noSuchBlob(sha256);
    const found = await this.#get(sha256, startByte);
    if (found === undefined) return;
    let leftBytes = found.sizeBytes;
    try {
      for await (const chunk of abortable(found.body, this.#closing.signal)) {
        leftBytes -= chunk.length;
        yield chunk;
      }
    } catch (thrown) {
      throw this.#error('read a blob', thrown, Code.UNAVAILABLE);
    }
    if (leftBytes > 0) {
      throw unavailable(`the answer of ${this.#address.shown} ended ${leftBytes} bytes too early`);
    }
  }

  /** Undefined: `startByte` is the blob's end. */
  async #get(sha256: string, startByte: number) {
    const range = startByte === 0 ? {} : { Range: `bytes=${startByte}-` };
    const what = { Bucket: this.#bucket.name, Key: this.#key(sha256), ...range };
    try {
      const { Body, ContentLength = 0 } = await this.#bucket.client.send(
        new GetObjectCommand(what),
      );
      return { body: Body as unknown as AsyncIterable<Uint8Array>, sizeBytes: ContentLength };
    } catch (thrown) {
      const status = httpStatusOf(thrown);
      if (status === 404 && nameOf(thrown) !== 'NoSuchBucket') throw noSuchBlob(sha256);
      if (status !== 416) throw this.#error('read a blob', thrown);
    }
    // Its own answer says the same of the end and of what lies past it.
    const info = await this.stat(sha256);
    if (info === undefined) throw noSuchBlob(sha256);
    if (startByte > info.sizeBytes) throw pastEnd(startByte, info.sizeBytes);
    return undefined;
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
    const blocks = intake.blocks(source, BLOCK_BYTES, this.#closing.signal);
    const { head, isWhole } = await headOf(blocks);
    if (isWhole) {
      const done = putWhole(this.#bucket, this.#key(intake.info.sha256), Buffer.concat(head));
      await this.#on('write a blob', done);
      return intake.info;
    }
    const all = following(head, blocks);
    if (options.expectedSha256 !== undefined) {
      const key = this.#key(options.expectedSha256);
      await this.#on('write a blob', putParts(this.#bucket, key, all));
    } else {
      await this.#writeUnnamed(intake, all);
    }
    return intake.info;
  }

  async #writeUnnamed(intake: Intake, blocks: AsyncIterable<Buffer>): Promise<void> {
    const incoming = this.#incoming(randomUUID());
    const copyBytes = this.#options.copyBytes ?? DEFAULT_COPY_BYTES;
    await this.#on('write a blob', putParts(this.#bucket, incoming, blocks));
    try {
      const { sha256, sizeBytes } = intake.info;
      const copying = copy(this.#bucket, incoming, this.#key(sha256), sizeBytes, copyBytes);
      await this.#on('write a blob', copying);
    } finally {
      // What stays when this fails is swept.
      const gone = { Bucket: this.#bucket.name, Key: incoming };
      await this.#bucket.client.send(new DeleteObjectCommand(gone)).catch(() => undefined);
    }
  }

  async remove(sha256: string): Promise<void> {
    this.#checkOpen();
    if (!isSha256(sha256)) return;
    const what = { Bucket: this.#bucket.name, Key: this.#key(sha256) };
    await this.#on('remove a blob', this.#bucket.client.send(new DeleteObjectCommand(what)));
  }

  async list(after: string, limit: number): Promise<readonly BlobListing[]> {
    this.#checkOpen();
    checkListLimit(limit);
    const found: BlobListing[] = [];
    let from = this.#key(after);
    for (;;) {
      const start = after === '' && found.length === 0 ? {} : { StartAfter: from };
      const what = { Bucket: this.#bucket.name, Prefix: this.#key(''), MaxKeys: limit, ...start };
      const listing = this.#bucket.client.send(new ListObjectsV2Command(what));
      const page = await this.#on('list the blobs', listing);
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        from = Key;
        const sha256 = Key.slice(this.#key('').length);
        // Another program's file in our folder is none of ours.
        if (!isSha256(sha256)) continue;
        found.push({ sha256, sizeBytes: Size, writtenMs: LastModified?.getTime() ?? 0 });
        if (found.length === limit) return found;
      }
      if (page.IsTruncated !== true) return found;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(closed());
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, CLOSE_TIMEOUT_MS);
    await Promise.race([Promise.allSettled(this.#writes), late.promise]);
    clearTimeout(timer);
    this.#bucket.client.destroy();
  }

  #key(sha256: string): string {
    return `${this.#address.prefix}blobs/${sha256}`;
  }

  #incoming(name: string): string {
    return `${this.#address.prefix}incoming/${name}`;
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw closed();
  }

  async #on<Result>(doing: string, action: Promise<Result>): Promise<Result> {
    try {
      return await action;
    } catch (thrown) {
      throw this.#error(doing, thrown);
    }
  }

  #error(doing: string, thrown: unknown, fallback?: Code): StatusError {
    const error = s3Error(thrown, `${doing} at ${this.#address.shown}`);
    if (fallback === undefined || error.code !== Code.INTERNAL) return error;
    return unavailable(error.message);
  }
}

function clientFor(address: S3Address, options: S3BlobsOptions): S3Client {
  const { endpoint, region, isPathStyle } = address;
  const { credentials } = options;
  return new S3Client({
    region: region ?? process.env.AWS_REGION ?? DEFAULT_REGION,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: isPathStyle,
    followRegionRedirects: true,
    maxAttempts: MAX_ATTEMPTS,
    // Content is checked by its SHA-256, end to end; not every service knows S3's other checksums.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      socketTimeout: options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
    },
  });
}

/** What fits into one request, and whether that is all. */
async function headOf(blocks: AsyncGenerator<Buffer>) {
  const head: Buffer[] = [];
  for (let sizeBytes = 0; sizeBytes <= PART_BYTES; ) {
    const { value, done } = await blocks.next();
    if (done === true) return { head, isWhole: true };
    head.push(value);
    sizeBytes += value.length;
  }
  return { head, isWhole: false };
}

/** Lets go of what it has given. */
async function* following(head: Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for (let next = head.shift(); next !== undefined; next = head.shift()) yield next;
  yield* rest;
}

function closed(): StatusError {
  return unavailable('the blob store is closed');
}
