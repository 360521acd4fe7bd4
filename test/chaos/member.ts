// One process of the cluster that can be ended, paused and started again as the same: with its
// ports, its data folder and its flags.
import { createServer } from 'node:net';
import { type RoleProcess, startRole } from '../support/torus-process.ts';

/** Below those that the system gives to outgoing connections: nobody takes it in a restart. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const HOST = '127.0.0.1';

export type Role = 'node' | 'router' | 'control' | 'ingest';

export interface Member {
  readonly role: Role;
  readonly id: string;
  /** As it runs now, or ran last. */
  readonly process: RoleProcess;
  readonly isUp: boolean;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end: its exit code. */
  stop(): Promise<number | null>;
  pause(): void;
  resume(): void;
  /** Starts it again, on its ports with its data. */
  start(changes?: StartChanges): Promise<void>;
}

export interface StartChanges {
  /** Behind its own, this time. */
  readonly flags?: readonly string[];
  /** From now on: cli/main.ts of another checkout. */
  readonly main?: string;
}

export interface MemberOptions {
  readonly role: Role;
  readonly id: string;
  /** All of them, ports too. */
  readonly flags: readonly string[];
  readonly main?: string | undefined;
  /** Variables of its environment, more than ours. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export async function startMember(options: MemberOptions): Promise<Member> {
  const { role, id, flags, env } = options;
  let { main } = options;
  let running = await startRole(role, flags, main, env);
  let isUp = true;
  const follow = (process: RoleProcess): void => {
    void process.ended.then(() => {
      if (process === running) isUp = false;
    });
  };
  follow(running);
  return {
    role,
    id,
    get process() {
      return running;
    },
    get isUp() {
      return isUp;
    },
    async kill() {
      await running.end('SIGKILL');
    },
    stop: () => running.end('SIGTERM'),
    pause: () => void process.kill(running.pid, 'SIGSTOP'),
    resume: () => void process.kill(running.pid, 'SIGCONT'),
    async start(changes = {}) {
      main = changes.main ?? main;
      running = await startRole(role, [...flags, ...(changes.flags ?? [])], main, env);
      isUp = true;
      follow(running);
    },
  };
}

/** One that is free now, and that stays free of outgoing connections. */
export async function listeningPort(random: () => number): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}
