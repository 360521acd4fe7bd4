// Servers that the workloads compare, ours and the rivals, started and ready to be called. A rival
// that can't be had is named with the reason.
import { type Launch, nodeScript, ownServer } from '../contender.ts';
import { writeBody } from '../measure/h2load.ts';
import type { Side } from '../measure/side.ts';
import type { Stage } from '../measure/stage.ts';
import { type Built, buildGoEcho, buildTonic } from '../rivals/build.ts';

export const ECHO_PATH = '/bench.Echo/Echo';

/** Of the table's columns, and of what targets name. */
export const OURS = 'torus';
export const GRPC_JS = 'grpc-js';
export const NODE_HTTP2 = 'node:http2';
export const GRPC_GO = 'grpc-go';
export const TONIC = 'tonic';
export type EchoServer =
  | typeof OURS
  | typeof GRPC_JS
  | typeof NODE_HTTP2
  | typeof GRPC_GO
  | typeof TONIC;

export interface Sides {
  readonly sides: readonly Side[];
  /** One line each. */
  readonly missing: readonly string[];
  /** What ours say of themselves, as long as they run. */
  readonly notes: string[];
}

export interface EchoOptions {
  readonly message: Uint8Array;
  readonly hasTls?: boolean;
  /** tonic's: its default windows are made for small messages. */
  readonly windowBytes?: number;
}

/** Either a launch, or why there is none. */
export type Entry = { readonly launch: Launch } | { readonly missing: string };

export function builtEntry(name: string, built: Built, args: readonly string[]): Entry {
  if ('missing' in built) return { missing: `${name}: ${built.missing}` };
  const { command, environment } = built;
  const launch = { name, command: [...command, ...args] };
  return { launch: environment === undefined ? launch : { ...launch, environment } };
}

async function echoEntry(server: EchoServer, flags: readonly string[], windowBytes: number) {
  switch (server) {
    case OURS:
      return { launch: ownServer(server, 'servers/echo.ts', flags) };
    case GRPC_JS:
      return { launch: { name: server, command: nodeScript('rivals/grpcjs-echo.ts', flags) } };
    case NODE_HTTP2:
      return { launch: { name: server, command: nodeScript('rivals/http2-echo.ts', flags) } };
    case GRPC_GO:
      return builtEntry(server, await buildGoEcho(), flags);
    case TONIC: {
      const window = windowBytes === 0 ? [] : ['--window-bytes', String(windowBytes)];
      return builtEntry(server, await buildTonic('echo'), [...flags, ...window]);
    }
  }
}

export async function startEchos(
  stage: Stage,
  servers: readonly EchoServer[],
  options: EchoOptions,
): Promise<Sides> {
  const { message, hasTls = false, windowBytes = 0 } = options;
  const flags = await tlsFlags(stage, hasTls);
  const entries: Entry[] = [];
  for (const server of servers) entries.push(await echoEntry(server, flags, windowBytes));
  const isRight = (answer: Buffer): boolean => answer.equals(message);
  return startSides(stage, entries, { path: ECHO_PATH, message, isRight, hasTls });
}

export async function tlsFlags(stage: Stage, hasTls: boolean): Promise<readonly string[]> {
  if (!hasTls) return [];
  const { certFile, keyFile } = await stage.certificate();
  return ['--cert', certFile, '--key', keyFile];
}

export interface Call {
  readonly path: string;
  readonly message: Uint8Array;
  isRight(answer: Buffer): boolean;
  readonly hasTls: boolean;
}

export async function startSides(
  stage: Stage,
  entries: readonly Entry[],
  { path, message, isRight, hasTls }: Call,
): Promise<Sides> {
  const sides: Side[] = [];
  const missing: string[] = [];
  const notes: string[] = [];
  const bodyFile = await writeBody(
    stage.folder,
    `${path.replaceAll('/', '-')}-${message.length}`,
    message,
  );
  for (const entry of entries) {
    if ('missing' in entry) {
      missing.push(`missing: ${entry.missing}`);
      continue;
    }
    const { name } = entry.launch;
    const heard = (line: string): void => void notes.push(`${name}: ${line}`);
    const contender = await stage.start({ ...entry.launch, heard });
    const calls = async (): Promise<number> => (await contender.ask('calls'))[0] ?? Number.NaN;
    const trusted = hasTls ? { trusted: (await stage.certificate()).cert } : {};
    sides.push({ name, contender, path, message, bodyFile, isRight, calls, ...trusted });
  }
  return { sides, missing, notes };
}
