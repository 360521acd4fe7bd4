// What each role command is told, by flags and TORUS_* variables: read once, checked as a whole.
import { hostname } from 'node:os';
import { z } from 'zod';
import { isName } from '../../common/names.ts';
import { EXECUTIONS } from '../../model/config/policy.ts';
import { parseAddress } from '../../transport/client/dial.ts';
import { formatAddress } from '../../transport/listen.ts';
import { busyPollUs } from '../busy-poll.ts';
import { maxConnectionAge } from '../connection-age.ts';
import { flagOf } from '../flags.ts';
import {
  DEFAULT_HOST,
  DEFAULT_PORTS,
  FIRST_NODE_PORT,
  host,
  logLevel,
  port,
  portClashes,
  type RawFlags,
  readSettings,
  traceOtlp,
  traceSample,
  yes,
} from '../setting-kinds.ts';
import {
  authorities,
  listenerTls,
  ownCertificate,
  tlsClashes,
  tokenFile,
} from '../tls-settings.ts';
import {
  blobsAddress,
  catalogAddress,
  datasetsAddress,
  peerAddress,
  peerAddresses,
  registryAddress,
} from './addresses.ts';

const SECRET = ['registry', 'catalog', 'blobs', 'datasets'];
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

const folder = (fallback: string) => z.string().min(1, 'must be a folder').default(fallback);
const id = z.string().refine(isName, 'must be 1 to 128 letters, digits, dots, _ and -').optional();

/** '0', '1073741824', '512MiB', '8GiB' -> bytes */
const bytes = z
  .string()
  .regex(/^\d{1,15} ?([KMG]iB)?$/i, "must be bytes, or a number with KiB, MiB or GiB ('8GiB')")
  .transform(
    (text) =>
      Number.parseInt(text, 10) * (UNITS[/[kmg]/i.exec(text)?.[0].toLowerCase() ?? ''] ?? 1),
  )
  .refine(Number.isSafeInteger, 'is too large')
  .default(0);

const advertise = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:[\]\s/]+)(:\d{1,5})?$/, 'must be HOST or HOST:PORT')
  .optional();

/** Of every role. */
const process_ = {
  ...{ host, insecure: yes, metricsPort: port(DEFAULT_PORTS.metrics), logLevel },
  ...listenerTls,
};
/** Of those that call control, or read blobs from it. */
const callsControl = {
  controlCa: authorities,
  ...ownCertificate,
  adminTokenFile: tokenFile,
};
const spans = { traceOtlp, traceSample };
const stores = { catalog: catalogAddress, blobs: blobsAddress, datasets: datasetsAddress };

const schemas = {
  node: z.object({
    ...process_,
    ...spans,
    ...callsControl,
    registry: registryAddress,
    blobs: blobsAddress,
    data: folder('./data-node'),
    nodePort: port(FIRST_NODE_PORT),
    id,
    zone: z.string().max(128, 'must be at most 128 characters').default(''),
    memoryLimit: bytes,
    advertise,
    busyPollUs,
    maxConnectionAge,
    execution: z.enum(EXECUTIONS).default('auto'),
  }),
  router: z.object({
    ...process_,
    ...spans,
    registry: registryAddress,
    data: folder('./data-router'),
    grpcPort: port(DEFAULT_PORTS.grpc),
    busyPollUs,
    maxConnectionAge,
    control: peerAddress("control's admin listener").optional(),
    ...callsControl,
    nodeCa: authorities,
    nodeServerName: z.string().min(1, 'must be a name').optional(),
  }),
  control: z.object({
    ...process_,
    registry: registryAddress,
    ...stores,
    adminPort: port(DEFAULT_PORTS.admin),
    blobPort: port(DEFAULT_PORTS.blob),
    adminTokenFile: tokenFile,
    id,
  }),
  gateway: z.object({
    ...process_,
    ...callsControl,
    routerCa: authorities,
    httpPort: port(DEFAULT_PORTS.http),
    router: peerAddresses('a router').default(formatAddress(DEFAULT_HOST, DEFAULT_PORTS.grpc)),
    control: peerAddress("control's admin listener").default(
      formatAddress(DEFAULT_HOST, DEFAULT_PORTS.admin),
    ),
    blobs: z
      .string()
      .regex(/^https?:\/\/[^/@?#]+\/?$/, "must be http://HOST:PORT of control's blob listener")
      .default(`http://${formatAddress(DEFAULT_HOST, DEFAULT_PORTS.blob)}`),
  }),
  ingest: z.object({
    ...process_,
    ...callsControl,
    registry: registryAddress,
    ...stores,
    data: folder('./data-ingest'),
  }),
  trainer: z.object({
    ...process_,
    ...callsControl,
    registry: registryAddress,
    ...stores,
    data: folder('./data-trainer'),
  }),
} as const;

export type RoleName = keyof typeof schemas;
export type RoleSettings<R extends RoleName> = z.infer<(typeof schemas)[R]>;

/** @throws INVALID_ARGUMENT with a line for each flag that is wrong; secrets are not repeated */
export function readRoleSettings<R extends RoleName>(role: R, flags: RawFlags): RoleSettings<R> {
  const clashes = (settings: Readonly<Record<string, unknown>>): string[] => {
    const ports = Object.entries(settings).flatMap(([key, value]) =>
      key.endsWith('Port') && typeof value === 'number' ? [[flagOf(key), value] as const] : [],
    );
    const isAnywhere = settings.host === '0.0.0.0' || settings.host === '::';
    const isUntold = role === 'node' && isAnywhere && settings.advertise === undefined;
    const untold = `--advertise: is needed with --host ${settings.host}: where routers reach it`;
    const isOwn = role === 'control' && /^https?:/.test(String(settings.blobs));
    const own = '--blobs: http: is what control itself serves; give it s3:, redis: or dir:';
    return [
      ...portClashes(ports),
      ...tlsClashes(settings),
      ...(isUntold ? [untold] : []),
      ...(isOwn ? [own] : []),
    ];
  };
  const schema: z.ZodType<RoleSettings<R>> = schemas[role] as never;
  return readSettings(schema, flags, { clashes, secret: SECRET }) as RoleSettings<R>;
}

/** What a process is called that was given no name: it ends with it. */
export function processId(): string {
  return `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${process.pid}`.replace(
    /^[^A-Za-z0-9]/,
    'h',
  );
}

/**
 * Where routers reach a node: as it was told, else where it listens.
 * @param listening host:port
 */
export function advertisedAddress(told: string | undefined, listening: string): string {
  if (told === undefined) return listening;
  return /:\d+$/.test(told.replace(/^\[.*\]/, ''))
    ? told
    : `${told}:${parseAddress(listening).port}`;
}
