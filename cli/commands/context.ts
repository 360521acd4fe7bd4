// What every client command gets: the server's client, the output, and how jobs are waited for.
import type { Command } from 'commander';
import { Code, codeOf, invalidArgument, StatusError } from '../../common/status.ts';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { createOutput, EXIT_INTERRUPTED, JobEnded, type Output } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';
import { DEFAULT_SERVER, type RestClient, restClient } from '../client/rest.ts';

export interface CommandContext {
  readonly client: RestClient;
  readonly output: Output;
  /** Aborted by Ctrl-C: what waits ends with CANCELLED, and what bars hid is shown again. */
  readonly signal: AbortSignal;
}

/** A command that has not ended so long after a Ctrl-C is ended as it is. */
const INTERRUPT_GRACE_MS = 1_000;

type Action = (context: CommandContext, command: Command) => Promise<void>;

/**
 * Adds --server and --json, runs the action, and turns what it throws into text and an exit code.
 */
export function clientCommand(command: Command, action: Action): Command {
  return command
    .addOption(
      command
        .createOption('--server <url>', 'the gateway of a running Torus')
        .default(DEFAULT_SERVER)
        .env('TORUS_SERVER'),
    )
    .option('--json', 'print JSON, for programs')
    .action(async (..._args: unknown[]) => {
      const { server, json } = command.opts<{ server: string; json?: boolean }>();
      const { signal, stopListening } = listenForInterrupt();
      const output = createOutput(
        json === true,
        (text) => process.stdout.write(text),
        (text) => process.stderr.write(text),
      );
      try {
        await action({ client: restClient(server, signal), output, signal }, command);
      } catch (thrown) {
        process.exitCode = output.error(thrown);
        if (signal.aborted) process.exitCode = EXIT_INTERRUPTED;
      } finally {
        stopListening();
      }
    });
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
