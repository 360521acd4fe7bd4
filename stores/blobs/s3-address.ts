// An S3 address as people write it, s3://bucket/prefix?endpoint=http://host:port&region=..., as
// what the client takes. Keys are not part of it: they come as AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, or as the machine's or pod's own role.
import { invalidArgument, type StatusError } from '../../common/status.ts';

const PARAMETERS = ['endpoint', 'region', 'path-style'] as const;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^[A-Za-z0-9!_.*'()/-]{0,512}$/;
export const DEFAULT_REGION = 'us-east-1';

export interface S3Address {
  readonly bucket: string;
  /** '' or ends in '/'. */
  readonly prefix: string;
  /** Absent: AWS's own, or AWS_ENDPOINT_URL_S3. */
  readonly endpoint?: string;
  /** Absent: AWS_REGION, else DEFAULT_REGION. */
  readonly region?: string;
  /** The bucket stands in the path rather than the host name; default when there is an endpoint. */
  readonly isPathStyle: boolean;
  /** For messages. */
  readonly shown: string;
}

function wrong(what: string): StatusError {
  return invalidArgument(
    `the address of the blobs on S3 cannot be read: ${what}; it must be like ` +
      's3://bucket/prefix?endpoint=http://host:port&region=us-east-1&path-style=true',
  );
}

/** @throws INVALID_ARGUMENT without repeating what may be a secret */
export function parseS3Address(text: string): S3Address {
  const url = URL.parse(text);
  if (url === null || url.protocol !== 's3:') throw wrong('it is no s3:// address');
  if (url.username !== '' || url.password !== '' || url.port !== '') {
    throw wrong(
      'keys and ports are not part of it (keys come as AWS_ACCESS_KEY_ID and ' +
        'AWS_SECRET_ACCESS_KEY)',
    );
  }
  const bucket = url.hostname;
  if (!BUCKET.test(bucket)) throw wrong('it names no bucket');
  const path = url.pathname.replace(/^\/+|\/+$/g, '');
  if (!PREFIX.test(path)) throw wrong('its prefix has characters that S3 advises against');
  const parameters = url.searchParams;
  for (const name of parameters.keys()) {
    if (PARAMETERS.some((known) => known === name)) continue;
    throw wrong(`it has a parameter ${JSON.stringify(name.slice(0, 40))}`);
  }
  const endpoint = endpointOf(parameters.get('endpoint'));
  const region = parameters.get('region');
  return {
    bucket,
    prefix: path === '' ? '' : `${path}/`,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    isPathStyle: booleanOf(parameters.get('path-style')) ?? endpoint !== undefined,
    shown: `s3://${bucket}/${path}${endpoint === undefined ? '' : ` (${endpoint})`}`,
  };
}

function endpointOf(text: string | null): string | undefined {
  if (text === null) return undefined;
  const url = URL.parse(text);
  const isFine = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/';
  if (!isFine || url.username !== '' || url.search !== '') {
    throw wrong('its endpoint is not http://host:port or https://host:port');
  }
  return url.origin;
}

function booleanOf(text: string | null): boolean | undefined {
  if (text === null) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw wrong('path-style is true or false');
}
