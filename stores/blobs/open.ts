// Where artifacts are, by their address as --blobs gives it: a folder of this host, S3, a Redis
// server of its own, or control's blob port for clusters without these. The clients of services are
// only loaded when one is used: they are large.
import { invalidArgument } from '../../common/status.ts';
import type { BlobReader, BlobStore } from './blobs.ts';
import { openDirectoryBlobs, readDirectoryBlobs } from './directory.ts';
import type { HttpPeer } from './http-call.ts';
import { httpBlobs } from './http-client.ts';

export interface OpenBlobsOptions {
  /** The registry's address: blobs are never kept on its server. */
  readonly registry?: string;
  /** True: a service that is away does not keep this from opening; calls are UNAVAILABLE then. */
  readonly mayBeAway?: boolean;
  /** How control is called, for its blobs. */
  readonly peer?: HttpPeer;
}

/**
 * For roles that write: other processes may have it open as well.
 * @param address 'dir:PATH' or a path, 's3://bucket/prefix?...', 'http://host:port',
 * 'redis://host:port/db'
 * @throws INVALID_ARGUMENT for another scheme; as the store's own open does
 */
export async function openBlobs(
  address: string,
  options: OpenBlobsOptions = {},
): Promise<BlobStore> {
  const path = folderOf(address);
  if (path !== undefined) return await openDirectoryBlobs(path, { isShared: true });
  return await openService(address, options);
}

/** For a node: of a folder it changes nothing. @param address as openBlobs takes it */
export async function openBlobReader(
  address: string,
  options: OpenBlobsOptions = {},
): Promise<BlobReader & Pick<BlobStore, 'close'>> {
  const path = folderOf(address);
  if (path !== undefined) return readDirectoryBlobs(path);
  return await openService(address, options);
}

/** Undefined: the address is that of a service. */
function folderOf(address: string): string | undefined {
  const scheme = schemeOf(address);
  const path = address.replace(/^dir:(\/\/(?=\/))?/, '');
  return (scheme === undefined || scheme === 'dir') && path !== '' ? path : undefined;
}

function schemeOf(address: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):/i.exec(address)?.[1];
}

async function openService(address: string, options: OpenBlobsOptions): Promise<BlobStore> {
  const scheme = schemeOf(address);
  switch (scheme) {
    case 's3': {
      const { openS3Blobs } = await import('./s3.ts');
      return await openS3Blobs(address, options);
    }
    case 'redis':
    case 'rediss': {
      const { openRedisBlobs } = await import('./redis/redis.ts');
      return await openRedisBlobs(address, options);
    }
    case 'http':
    case 'https':
      return httpBlobs(checkedBase(address), options.peer);
  }
  throw invalidArgument(
    `blobs at ${scheme === undefined ? "''" : `${scheme}:`} are not known: use dir:PATH, ` +
      's3://bucket/prefix, http://host:port of control, or redis://host:port of its own',
  );
}

function checkedBase(address: string): string {
  const url = URL.parse(address);
  if (url !== null && url.username === '' && url.search === '' && url.hash === '') return url.href;
  throw invalidArgument('the address of a blob server must be like http://host:port');
}
