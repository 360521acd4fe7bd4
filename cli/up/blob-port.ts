// Control's blob listener: artifacts over HTTP, for uploads and for nodes without a shared store.
import type { AddressInfo } from 'node:net';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { serveBlobs } from '../../stores/blobs/http-server.ts';
import { checkListen, listenError } from '../../transport/listen.ts';
import type { BearerTokens } from '../../transport/tls/bearer-tokens.ts';
import type { WebTls } from '../../transport/tls/http-server.ts';
import type { UpSettings } from './settings.ts';

interface BlobPortSettings extends Pick<UpSettings, 'host' | 'blobPort' | 'isInsecure'> {
  readonly tls: WebTls | undefined;
  readonly tokens: BearerTokens | undefined;
}

export interface BlobPort {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * @throws FAILED_PRECONDITION off loopback unless insecure, ALREADY_EXISTS when the port is taken.
 */
export async function serveBlobPort(
  blobs: BlobStore,
  settings: BlobPortSettings,
): Promise<BlobPort> {
  const { host, blobPort, isInsecure, tls, tokens } = settings;
  checkListen({ host, hasTls: tls !== undefined, isInsecureAllowed: isInsecure });
  const server = serveBlobs(blobs, { tls, tokens });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(host, blobPort, '--blob-port', cause)));
    server.listen(blobPort, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
