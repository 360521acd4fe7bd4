// What every client command gets: the server's client, the output, and how jobs are waited for.
import type { Command } from 'commander';
import { Code, codeOf, invalidArgument, StatusError } from '../../common/status.ts';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import type { HttpPeer } from '../../stores/blobs/http-call.ts';
import { createOutput, EXIT_INTERRUPTED, JobEnded, type Output } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';
import { DEFAULT_SERVER, type RestClient, restClient } from '../client/rest.ts';
import { variableOf } from '../flags.ts';
import {
  authoritiesFlag,
  clientTlsOf,
  OWN_CERTIFICATE_FLAGS,
  type OwnCertificateSettings,
  SYSTEM,
  tokensOf,
} from '../tls-settings.ts';

export interface CommandContext {
  readonly client: RestClient;
  readonly output: Output;
  /** Aborted by Ctrl-C: what waits ends with CANCELLED, and what bars hid is shown again. */
  readonly signal: AbortSignal;
}

/** A command that has not ended so long after a Ctrl-C is ended as it is. */
const INTERRUPT_GRACE_MS = 1_000;

interface ClientFlags extends OwnCertificateSettings {
  readonly server: string;
  readonly json?: boolean;
  readonly serverCa?: string;
  readonly adminTokenFile?: string;
}

const PEER_FLAGS = [
  authoritiesFlag('--server-ca', 'the gateway'),
  ...OWN_CERTIFICATE_FLAGS,
  ['--admin-token-file <file>', 'token to show to the gateway, its first line'],
] as const;

type Action = (context: CommandContext, command: Command) => Promise<void>;

/**
 * Adds --server, --json and what a server over TLS asks for, runs the action, and turns what it
 * throws into text and an exit code.
 */
export function clientCommand(command: Command, action: Action): Command {
  command
    .addOption(
      command
        .createOption('--server <url>', 'the gateway of a running Torus')
        .default(DEFAULT_SERVER)
        .env('TORUS_SERVER'),
    )
    .option('--json', 'print JSON, for programs');
  for (const [flag, text] of PEER_FLAGS) {
    command.addOption(command.createOption(flag, text).env(variableOf(flag)));
  }
  return command.action(async (..._args: unknown[]) => {
    const { server, json, ...peer } = command.opts<ClientFlags>();
    const { signal, stopListening } = listenForInterrupt();
    const output = createOutput(
      json === true,
      (text) => process.stdout.write(text),
      (text) => process.stderr.write(text),
    );
    try {
      const client = restClient(server, signal, peerOf(peer));
      await action({ client, output, signal }, command);
    } catch (thrown) {
      process.exitCode = output.error(thrown);
      if (signal.aborted) process.exitCode = EXIT_INTERRUPTED;
    } finally {
      stopListening();
    }
  });
}

/** @throws FAILED_PRECONDITION for files that can't be read */
function peerOf(flags: Omit<ClientFlags, 'server'>): HttpPeer {
  return {
    tls: clientTlsOf(flags.serverCa ?? SYSTEM, flags),
    bearerToken: tokensOf(flags.adminTokenFile)?.own,
  };
}

function listenForInterrupt(): { signal: AbortSignal; stopListening(): void } {
  const interrupt = new AbortController();
  const onSignal = (): void => {
    interrupt.abort();
    setTimeout(() => process.exit(EXIT_INTERRUPTED), INTERRUPT_GRACE_MS).unref();
  };
  process.on('SIGINT', onSignal);
  return { signal: interrupt.signal, stopListening: () => process.off('SIGINT', onSignal) };
}

/** 'jobs/20260101-abc' -> '20260101-abc' */
export function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

export function segment(text: string): string {
  return encodeURIComponent(text);
}

/** '3' -> '3'. @throws INVALID_ARGUMENT for what is no version's number */
export function versionOf(text: string): string {
  if (/^[1-9][0-9]{0,15}$/.test(text)) return text;
  throw invalidArgument(`version ${JSON.stringify(text)} must be a whole number from 1`);
}

const FINAL: readonly JobState[] = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED];

export function isFinal(job: Job): boolean {
  return FINAL.includes(job.state);
}

/** A line of what a job is doing: its step and its figures. */
export function progressText(job: Job): string {
  const progress = job.progress;
  if (progress === undefined) return '';
  const step = job.state === JobState.SUCCEEDED ? 'done' : progress.step;
  const figures = Object.entries(progress.metrics)
    // The step has it already: 'epoch 3 of 20'.
    .filter(([key]) => !step.startsWith(`${key} `))
    .map(([key, value]) => `${key} ${figure(value)}`);
  return [step, ...figures].filter((part) => part !== '').join(', ');
}

/** 0.93217 -> '0.9322', 1797 -> '1,797' */
export function figure(value: number): string {
  return Number.isInteger(value)
    ? value.toLocaleString('en-US')
    : String(Number(value.toPrecision(4)));
}

/**
 * Shows a job's progress until it ends.
 * @throws StatusError with the job's reason when it failed or was cancelled; CANCELLED when it is
 *   only we who were interrupted.
 */
export async function followJob(
  context: CommandContext,
  started: Job,
  title: string,
): Promise<Job> {
  const { client, output } = context;
  const id = lastPart(started.name);
  const bar = startProgress(title, { stream: process.stderr, isQuiet: output.isJson });
  let job = started;
  try {
    for await (const event of client.watch(`/api/v1/jobs/${segment(id)}/watch`)) {
      job = Job.fromJSON(event);
      bar.update(job.progress?.fraction ?? 0, progressText(job));
      if (isFinal(job)) break;
    }
  } catch (thrown) {
    if (!context.signal.aborted) throw thrown;
    throw new StatusError(
      Code.CANCELLED,
      `no longer watched, but job ${id} goes on: torus jobs watch ${id}, torus jobs cancel ${id}`,
    );
  } finally {
    bar.stop();
  }
  if (!isFinal(job)) job = Job.fromJSON(await client.call('GET', `/api/v1/jobs/${segment(id)}`));
  if (job.state === JobState.SUCCEEDED) return job;
  const { code, message } = job.error ?? { code: Code.CANCELLED, message: 'it was cancelled' };
  const state = job.state === JobState.FAILED ? 'failed' : 'did not finish';
  throw new JobEnded(codeOf(code), `job ${id} ${state}: ${message}`);
}
