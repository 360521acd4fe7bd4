// What `torus up` is told, by flags and TORUS_* variables: read once, checked as a whole, so that
// all that is wrong is said at once.
import { z } from 'zod';
import { invalidArgument } from '../../common/status.ts';
import { tracesEndpoint } from '../../common/tracing/endpoint.ts';
import { EXECUTIONS, type Execution } from '../../model/config/policy.ts';
import { flagOf } from '../flags.ts';
import { canHaveSeveral, defaultIoThreads, MAX_IO_THREADS } from '../io-threads.ts';

export const DEFAULT_PORTS = { grpc: 8001, http: 8000, metrics: 8002, admin: 8003, blob: 8004 };
export const FIRST_NODE_PORT = 8011;
export const MAX_NODES = 64;
/** Few, since a call that is recorded costs several times one that is not. */
export const DEFAULT_TRACE_SAMPLE = 0.01;

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
  /** Where models run whose configuration does not say. */
  readonly execution: Execution;
  readonly modelRepository: string | undefined;
  readonly isDemo: boolean;
  readonly isInsecure: boolean;
  /** Where spans of calls go, with the path; undefined: none are made. */
  readonly traceOtlp: string | undefined;
  /** Of the calls that come without a traceparent, 0 to 1. */
  readonly traceSample: number;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** Flags as commander gives them: text, or true for a flag without a value. */
export type RawFlags = Readonly<Record<string, unknown>>;

const port = (fallback: number) =>
  z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number, 0 to 65535 (0 takes a free one)')
    .transform(Number)
    .refine((value) => value <= 65_535, 'must be at most 65535')
    .default(fallback);

const count = (fallback: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,6}$/, `must be a whole number, 1 to ${most}`)
    .transform(Number)
    .refine((value) => value >= 1 && value <= most, `must be 1 to ${most}`)
    .default(fallback);

/** A flag without a value is true; a variable has one. */
const yes = z.union([z.boolean(), z.stringbool()], 'must be true or false').default(false);

const schema = z.object({
  host: z.string().min(1, 'must be an address').default('127.0.0.1'),
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
  execution: z.enum(EXECUTIONS).default('auto'),
  modelRepository: z.string().min(1, 'must be a folder').optional(),
  demo: yes,
  insecure: yes,
  traceOtlp: z
    .string()
    .refine(
      (address) => tracesEndpoint(address) !== undefined,
      'must be the address of a collector, such as http://127.0.0.1:4318',
    )
    .transform((address) => tracesEndpoint(address))
    .optional(),
  traceSample: z
    .string()
    .regex(/^(\d+\.?\d*|\.\d+)$/, 'must be a number from 0 to 1')
    .transform(Number)
    .refine((ratio) => ratio <= 1, 'must be a number from 0 to 1')
    .default(DEFAULT_TRACE_SAMPLE),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('warn'),
});

/** @throws INVALID_ARGUMENT with a line for each flag that is wrong. */
export function readUpSettings(flags: RawFlags): UpSettings {
  const parsed = schema.safeParse(flags);
  const problems = parsed.success
    ? clashes(parsed.data)
    : parsed.error.issues.map((issue) => {
        const key = String(issue.path[0] ?? '');
        return `${flagOf(key)} ${JSON.stringify(flags[key])}: ${issue.message}`;
      });
  if (!parsed.success || problems.length > 0) throw invalidArgument(problems.join('\n'));
  const { demo, insecure, modelRepository, traceOtlp, ...rest } = parsed.data;
  return { ...rest, modelRepository, traceOtlp, isDemo: demo, isInsecure: insecure };
}

/** Two listeners on one port. */
function clashes(settings: z.infer<typeof schema>): readonly string[] {
  const taken = new Map<number, string>();
  const problems: string[] = [];
  const take = (flag: string, number: number): void => {
    if (number === 0) return;
    const other = taken.get(number);
    if (other !== undefined) problems.push(`${flag} ${number}: is taken by ${other}`);
    else taken.set(number, flag);
  };
  for (const key of ['grpcPort', 'httpPort', 'metricsPort', 'adminPort', 'blobPort'] as const) {
    take(flagOf(key), settings[key]);
  }
  for (let node = 0; node < settings.nodes && settings.nodePort > 0; node += 1) {
    if (settings.nodePort + node > 65_535)
      problems.push(`--node-port: node ${node + 1} is past 65535`);
    else take(`--node-port of node ${node + 1}`, settings.nodePort + node);
  }
  return problems;
}
