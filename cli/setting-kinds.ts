// What settings of server commands are made of, and how they are read: all of them are checked, and
// all that is wrong is said at once.
import { z } from 'zod';
import { invalidArgument } from '../common/status.ts';
import { tracesEndpoint } from '../common/tracing/endpoint.ts';
import { flagOf } from './flags.ts';

/** Flags as commander gives them: text, or true for a flag without a value. */
export type RawFlags = Readonly<Record<string, unknown>>;

export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORTS = { grpc: 8001, http: 8000, metrics: 8002, admin: 8003, blob: 8004 };
export const FIRST_NODE_PORT = 8011;
/** Few, since a call that is recorded costs several times one that is not. */
export const DEFAULT_TRACE_SAMPLE = 0.01;

export const port = (fallback: number) =>
  z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number, 0 to 65535 (0 takes a free one)')
    .transform(Number)
    .refine((value) => value <= 65_535, 'must be at most 65535')
    .default(fallback);

export const count = (fallback: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,6}$/, `must be a whole number, 1 to ${most}`)
    .transform(Number)
    .refine((value) => value >= 1 && value <= most, `must be 1 to ${most}`)
    .default(fallback);

/** A flag without a value is true; a variable has one. */
export const yes = z.union([z.boolean(), z.stringbool()], 'must be true or false').default(false);

export const host = z.string().min(1, 'must be an address').default(DEFAULT_HOST);

/** With the path; undefined: no spans are made. */
export const traceOtlp = z
  .string()
  .refine(
    (address) => tracesEndpoint(address) !== undefined,
    'must be the address of a collector, such as http://127.0.0.1:4318',
  )
  .transform((address) => tracesEndpoint(address))
  .optional();

export const traceSample = z
  .string()
  .regex(/^(\d+\.?\d*|\.\d+)$/, 'must be a number from 0 to 1')
  .transform(Number)
  .refine((ratio) => ratio <= 1, 'must be a number from 0 to 1')
  .default(DEFAULT_TRACE_SAMPLE);

export const logLevel = z
  .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
  .default('warn');

export interface ReadOptions<T> {
  /** What is wrong between settings that are right each for itself. */
  readonly clashes?: (settings: T) => readonly string[];
  /** Their values may hold passwords: they are not repeated. */
  readonly secret?: readonly string[];
}

/** @throws INVALID_ARGUMENT with a line for each flag that is wrong. */
export function readSettings<S extends z.ZodType>(
  schema: S,
  flags: RawFlags,
  { clashes = () => [], secret = [] }: ReadOptions<z.infer<S>> = {},
): z.infer<S> {
  const parsed = schema.safeParse(flags);
  const problems = parsed.success
    ? clashes(parsed.data)
    : parsed.error.issues.map((issue) => {
        const key = String(issue.path[0] ?? '');
        const value = flags[key];
        const isShown = value !== undefined && !secret.includes(key);
        return `${flagOf(key)}${isShown ? ` ${JSON.stringify(value)}` : ''}: ${issue.message}`;
      });
  if (!parsed.success || problems.length > 0) throw invalidArgument(problems.join('\n'));
  return parsed.data;
}

/** Listeners on one port, in words; 0 takes a free one and clashes with none. */
export function portClashes(ports: readonly (readonly [flag: string, port: number])[]): string[] {
  const taken = new Map<number, string>();
  return ports.flatMap(([flag, number]) => {
    const other = taken.get(number);
    if (number !== 0 && other !== undefined) return `${flag} ${number}: is taken by ${other}`;
    taken.set(number, flag);
    return [];
  });
}
