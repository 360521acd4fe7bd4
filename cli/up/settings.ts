// What `torus up` is told, by flags and TORUS_* variables: read once, checked as a whole, so that
// all that is wrong is said at once.
import { z } from 'zod';
import { EXECUTIONS, type Execution } from '../../model/config/policy.ts';
import type { ServerTls } from '../../transport/tls/tls-files.ts';
import { busyPollUs } from '../busy-poll.ts';
import { maxConnectionAge } from '../connection-age.ts';
import { flagOf } from '../flags.ts';
import { canHaveSeveral, defaultIoThreads, MAX_IO_THREADS } from '../io-threads.ts';
import {
  count,
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
import { listenerTls, serverTlsOf, tlsClashes, tokenFile } from '../tls-settings.ts';

export const MAX_NODES = 64;

export interface UpSettings {
  readonly host: string;
  readonly data: string;
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly metricsPort: number;
  readonly adminPort: number;
  readonly blobPort: number;
  /** Of the first node; the next ones follow. 0: each takes a free one. */
  readonly nodePort: number;
  readonly nodes: number;
  /** Threads that serve gRPC, of the router and of each node. */
  readonly ioThreads: number;
  /** So long such a thread looks for the next call before it sleeps; 0: never. */
  readonly busyPollUs: number;
  /** Seconds after which callers are told to connect anew; undefined: never. */
  readonly maxConnectionAge: number | undefined;
  /** Where models run whose configuration does not say. */
  readonly execution: Execution;
  readonly modelRepository: string | undefined;
  readonly isDemo: boolean;
  readonly isInsecure: boolean;
  /** Of every listener; undefined: plain text. */
  readonly tls: ServerTls | undefined;
  /** Of who changes the cluster a token in it is asked; undefined: none is. */
  readonly adminTokenFile: string | undefined;
  /** Where spans of calls go, with the path; undefined: none are made. */
  readonly traceOtlp: string | undefined;
  /** Of the calls that come without a traceparent, 0 to 1. */
  readonly traceSample: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

const schema = z.object({
  host,
  data: z.string().min(1, 'must be a folder').default('./data'),
  grpcPort: port(DEFAULT_PORTS.grpc),
  httpPort: port(DEFAULT_PORTS.http),
  metricsPort: port(DEFAULT_PORTS.metrics),
  adminPort: port(DEFAULT_PORTS.admin),
  blobPort: port(DEFAULT_PORTS.blob),
  nodePort: port(FIRST_NODE_PORT),
  nodes: count(2, MAX_NODES),
  ioThreads: count(defaultIoThreads(), MAX_IO_THREADS).refine(
    (value) => value === 1 || canHaveSeveral(),
    'must be 1 on this system, where threads can not share a port',
  ),
  busyPollUs,
  maxConnectionAge,
  execution: z.enum(EXECUTIONS).default('auto'),
  modelRepository: z.string().min(1, 'must be a folder').optional(),
  demo: yes,
  insecure: yes,
  ...listenerTls,
  adminTokenFile: tokenFile,
  traceOtlp,
  traceSample,
  logLevel,
});

/** @throws INVALID_ARGUMENT with a line for each flag that is wrong. */
export function readUpSettings(flags: RawFlags): UpSettings {
  const told = readSettings(schema, flags, { clashes });
  const { demo, insecure, tlsCert, tlsKey, tlsClientCa, ...rest } = told;
  const { modelRepository, traceOtlp, adminTokenFile, maxConnectionAge: age } = told;
  return {
    ...{ ...rest, modelRepository, traceOtlp, adminTokenFile, maxConnectionAge: age },
    isDemo: demo,
    isInsecure: insecure,
    tls: serverTlsOf({ tlsCert, tlsKey, tlsClientCa }),
  };
}

/** Its own client has no certificates. */
const DEMO_IN_PLAIN = '--demo: goes without --tls-cert';

/** Two listeners on one port, half of a pair. */
function clashes(settings: z.infer<typeof schema>): readonly string[] {
  const keys = ['grpcPort', 'httpPort', 'metricsPort', 'adminPort', 'blobPort'] as const;
  const ports = keys.map((key) => [flagOf(key), settings[key]] as const);
  const { nodes, nodePort } = settings;
  const numbers = nodePort === 0 ? [] : Array.from({ length: nodes }, (_, at) => nodePort + at);
  const past = numbers.findIndex((number) => number > 65_535);
  if (past >= 0) return [`--node-port: node ${past + 1} is past 65535`];
  const nodePorts = numbers.map((number, at) => [`--node-port of node ${at + 1}`, number] as const);
  const noDemo = settings.demo && settings.tlsCert !== undefined ? [DEMO_IN_PLAIN] : [];
  return [...portClashes([...ports, ...nodePorts]), ...tlsClashes(settings), ...noDemo];
}
