// The log: one JSON object a line on stderr (stdout is for what was asked for), or plain lines on a
// terminal. Secrets never reach it: the names below are blanked wherever they stand.
import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

const SECRET = ['password', 'token', 'secret', 'authorization', 'cookie', 'privateKey'];

/** Fields with one name everywhere: role, node, model, version, job, epoch, shard, err, reason. */
export interface LogOptions {
  /** Absent: a process of several roles gives each a child, since a child's fields are added. */
  readonly role?: string;
  readonly level: LogLevel;
  /** Where lines go; stderr when absent. Writes are synchronous: a crash loses no line. */
  readonly destination?: DestinationStream;
}

export function createLog(options: LogOptions): Log {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: options.role === undefined ? {} : { role: options.role },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET.flatMap((name) => [name, `*.${name}`]), censor: '[hidden]' },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
