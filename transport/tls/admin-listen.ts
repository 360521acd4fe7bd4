// Listeners over which a cluster is changed: from off loopback, somebody who may has to be known.
import { failedPrecondition } from '../../common/status.ts';
import { isLoopback } from '../listen.ts';
import type { BearerTokens } from './bearer-tokens.ts';
import type { ServerTls } from './tls-files.ts';

export interface AdminListen {
  readonly host: string;
  readonly tls: ServerTls | undefined;
  readonly tokens: BearerTokens | undefined;
}

/**
 * Whatever --insecure says of the network: it is about who reads, this is about who may change.
 * @throws FAILED_PRECONDITION, telling the ways out
 */
export function checkAdminListen({ host, tls, tokens }: AdminListen): void {
  if (isLoopback(host) || tls?.clientCaFile !== undefined || tokens !== undefined) return;
  throw failedPrecondition(
    `refusing to let everybody who reaches ${host} change the cluster: ask for a token with ` +
      '--admin-token-file, or for certificates of clients with --tls-client-ca' +
      (tls === undefined ? ' (and in plain text it takes --insecure as well)' : ''),
  );
}
