// The cluster's blob store as this process reaches it: with the keys of the service, where it is
// one.
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openBlobs } from '../../stores/blobs/open.ts';
import { openS3Blobs } from '../../stores/blobs/s3.ts';
import type { S3Server } from '../support/s3-server.ts';

export interface SharedBlobs {
  /** As --blobs has it. */
  readonly blobs: string;
  readonly s3: S3Server | undefined;
}

export function openSharedBlobs({ blobs, s3 }: SharedBlobs): Promise<BlobStore> {
  return s3 === undefined ? openBlobs(blobs) : openS3Blobs(blobs, { credentials: s3.credentials });
}
