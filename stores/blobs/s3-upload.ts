// How content gets into an S3 bucket: as one object, in parts, by a copy inside the bucket. Nothing
// of it is seen before it is whole.
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';

/** Held in memory once or twice; S3 takes 10,000 parts, so this bounds a blob to 80 GiB. */
export const PART_BYTES = 8 * 1024 * 1024;
/** What one request copies inside the bucket (S3: 5 GiB at most), well within its time. */
export const DEFAULT_COPY_BYTES = 512 * 1024 * 1024;
/** What lies in incoming/ for longer than this was left by a crash. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

export interface Bucket {
  readonly client: S3Client;
  readonly name: string;
}

export async function putWhole({ client, name }: Bucket, key: string, body: Buffer): Promise<void> {
  await client.send(new PutObjectCommand({ Bucket: name, Key: key, Body: body }));
}

/** An error of the blocks is thrown as it is, and nothing is kept. */
export async function putParts(
  { client, name }: Bucket,
  key: string,
  blocks: AsyncIterable<Buffer>,
): Promise<void> {
  // One byte of look-ahead: at most the next block is made while one is sent.
  const body = Readable.from(blocks, { objectMode: false, highWaterMark: 1 });
  // One at a time: after a part that failed, others would still read the source to its end.
  const options = { partSize: PART_BYTES, queueSize: 1 };
  const upload = new Upload({ client, params: { Bucket: name, Key: key, Body: body }, ...options });
  try {
    await upload.done();
  } finally {
    body.destroy();
  }
}

/** @param copyBytes what one request copies at most */
export async function copy(
  bucket: Bucket,
  from: string,
  to: string,
  sizeBytes: number,
  copyBytes: number,
): Promise<void> {
  const { client, name } = bucket;
  const source = { CopySource: `${name}/${encodeURIComponent(from)}` };
  const target = { Bucket: name, Key: to };
  if (sizeBytes <= copyBytes) {
    await client.send(new CopyObjectCommand({ ...target, ...source }));
    return;
  }
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target));
  const upload = { ...target, UploadId };
  try {
    const parts: { PartNumber: number; ETag: string | undefined }[] = [];
    for (let at = 0; at < sizeBytes; at += copyBytes) {
      const PartNumber = parts.length + 1;
      const CopySourceRange = `bytes=${at}-${Math.min(at + copyBytes, sizeBytes) - 1}`;
      const part = { ...upload, ...source, PartNumber, CopySourceRange };
      const { CopyPartResult } = await client.send(new UploadPartCopyCommand(part));
      parts.push({ PartNumber, ETag: CopyPartResult?.ETag });
    }
    const whole = { ...upload, MultipartUpload: { Parts: parts } };
    await client.send(new CompleteMultipartUploadCommand(whole));
  } catch (thrown) {
    await client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined);
    throw thrown;
  }
}

/**
 * Removes what uploads below `prefix` left a day ago and longer: objects of `incoming`, and parts.
 * One page of each, which is enough for what crashes leave.
 * @param dateMs now, since 1970
 */
export async function sweep(
  { client, name }: Bucket,
  prefix: string,
  incoming: string,
  dateMs: number,
): Promise<void> {
  const isAbandoned = (date: Date | undefined): boolean =>
    date !== undefined && dateMs - date.getTime() > ABANDONED_MS;
  const objects = await client.send(new ListObjectsV2Command({ Bucket: name, Prefix: incoming }));
  for (const { Key, LastModified } of objects.Contents ?? []) {
    if (isAbandoned(LastModified)) {
      await client.send(new DeleteObjectCommand({ Bucket: name, Key }));
    }
  }
  const parts = { Bucket: name, Prefix: prefix };
  const uploads = await client.send(new ListMultipartUploadsCommand(parts));
  for (const { Key, UploadId, Initiated } of uploads.Uploads ?? []) {
    if (isAbandoned(Initiated)) {
      await client.send(new AbortMultipartUploadCommand({ Bucket: name, Key, UploadId }));
    }
  }
}
