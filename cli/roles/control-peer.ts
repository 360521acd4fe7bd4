// How a role calls control, and the blobs that it serves: over TLS or not, and what it shows.
import type { HttpPeer } from '../../stores/blobs/http-call.ts';
import { clientTlsOf, type OwnCertificateSettings, tokensOf } from '../tls-settings.ts';

interface ControlSettings extends OwnCertificateSettings {
  readonly controlCa?: string | undefined;
  readonly adminTokenFile?: string | undefined;
}

/** @throws FAILED_PRECONDITION for a token file that is none */
export function controlPeer(settings: ControlSettings): HttpPeer {
  return {
    tls: clientTlsOf(settings.controlCa, settings),
    bearerToken: tokensOf(settings.adminTokenFile)?.own,
  };
}
