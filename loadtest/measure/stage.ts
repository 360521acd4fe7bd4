// Where a workload of the bench runs: its plan, a folder for its files, a core for servers and one
// for clients, and the servers it has started, which end with it however it ends.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unavailable } from '../../common/status.ts';
import { type Contender, type Launch, startContender } from '../contender.ts';
import type { RoundsPlan } from './closed-rounds.ts';

export interface BenchPlan {
  readonly rounds: number;
  readonly secondsPerRound: number;
  /** Before each round. */
  readonly checkedCalls: number;
  /** The first warm-up of a server. */
  readonly firstCalls: number;
  readonly serverCore: number;
  /** Clients, nodes behind a proxy, and the bench itself. */
  readonly clientCore: number;
  /** Of each rate of the open loop. */
  readonly openLoopSeconds: number;
  readonly steadySeconds: number;
  readonly connections: number;
}

export const FULL_PLAN: BenchPlan = {
  rounds: 7,
  secondsPerRound: 1,
  checkedCalls: 1_000,
  firstCalls: 4_000,
  serverCore: 1,
  clientCore: 0,
  openLoopSeconds: 30,
  steadySeconds: 60,
  connections: 5_000,
};

/** Whether each workload works: its figures say little. */
export const QUICK_PLAN: BenchPlan = {
  ...FULL_PLAN,
  rounds: 1,
  secondsPerRound: 0.2,
  checkedCalls: 50,
  firstCalls: 500,
  openLoopSeconds: 1,
  steadySeconds: 3,
  connections: 500,
};

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  /** PEM. */
  readonly cert: Buffer;
}

export interface Stage {
  readonly plan: BenchPlan;
  readonly folder: string;
  readonly roundsPlan: RoundsPlan;
  /** On the servers' core unless the launch names another. */
  start(launch: Launch): Promise<Contender>;
  /** For localhost, signed by itself. @throws UNAVAILABLE without openssl. */
  certificate(): Promise<Certificate>;
  onEnd(end: () => void | Promise<void>): void;
}

/** Runs `play` on a stage of its own, and clears it away. */
export async function onStage<T>(plan: BenchPlan, play: (stage: Stage) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-bench-'));
  const ends: (() => void | Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  let certificate: Promise<Certificate> | undefined;
  const { rounds, secondsPerRound, checkedCalls, firstCalls, clientCore } = plan;
  try {
    return await play({
      plan,
      folder,
      roundsPlan: { rounds, secondsPerRound, checkedCalls, firstCalls, clientCore, folder },
      async start(launch) {
        const contender = await startContender({ core: plan.serverCore, ...launch });
        ends.push(() => contender.stop());
        return contender;
      },
      certificate() {
        certificate ??= makeCertificate(folder);
        return certificate;
      },
      onEnd: (end) => ends.push(end),
    });
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function makeCertificate(folder: string): Promise<Certificate> {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  // A certificate authority is no server: rustls refuses one as the other.
  const use = ['-addext', 'basicConstraints=critical,CA:FALSE', '-days', '2'];
  const files = ['-keyout', keyFile, '-out', certFile];
  try {
    await promisify(execFile)('openssl', ['req', ...kind, ...name, ...use, ...files]);
  } catch (thrown) {
    throw unavailable(`openssl makes no certificate: ${thrown}`);
  }
  return { certFile, keyFile, cert: await readFile(certFile) };
}
