// What every client command gets: the server's client, the output, and how jobs are waited for.
import type { Command } from 'commander';
import { StatusError } from '../../common/status.ts';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { createOutput, type Output } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';
import { DEFAULT_SERVER, type RestClient, restClient } from '../client/rest.ts';

export interface CommandContext {
  readonly client: RestClient;
  readonly output: Output;
}

type Action = (context: CommandContext, command: Command) => Promise<void>;

/**
 * Adds --server and --json, runs the action, and turns what it throws into text and an exit code.
 */
export function clientCommand(command: Command, action: Action): Command {
  return command
    .option('--server <url>', 'the gateway of a running Torus (TORUS_SERVER)')
    .option('--json', 'print JSON, for programs')
    .action(async (..._args: unknown[]) => {
      const { server, json } = command.opts<{ server?: string; json?: boolean }>();
      const output = createOutput(
        json === true,
        (text) => process.stdout.write(text),
        (text) => process.stderr.write(text),
      );
      try {
        const address = server ?? process.env.TORUS_SERVER ?? DEFAULT_SERVER;
        await action({ client: restClient(address), output }, command);
      } catch (thrown) {
        process.exitCode = output.error(thrown);
      }
    });
}

/** 'jobs/20260101-abc' -> '20260101-abc' */
export function lastPart(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

export function segment(text: string): string {
  return encodeURIComponent(text);
}

const FINAL: readonly JobState[] = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED];

export function isFinal(job: Job): boolean {
  return FINAL.includes(job.state);
}

/** A line of what a job is doing: its step and its figures. */
export function progressText(job: Job): string {
  const progress = job.progress;
  if (progress === undefined) return '';
  const figures = Object.entries(progress.metrics).map(([key, value]) => `${key} ${figure(value)}`);
  return [progress.step, ...figures].filter((part) => part !== '').join(', ');
}

/** 0.93217 -> '0.9322', 1797 -> '1,797' */
export function figure(value: number): string {
  return Number.isInteger(value)
    ? value.toLocaleString('en-US')
    : String(Number(value.toPrecision(4)));
}

/**
 * Shows a job's progress until it ends.
 * @throws StatusError with the job's own code and reason when it failed or was cancelled.
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
  } finally {
    bar.stop();
  }
  if (!isFinal(job)) job = Job.fromJSON(await client.call('GET', `/api/v1/jobs/${segment(id)}`));
  if (job.state === JobState.SUCCEEDED) return job;
  const why = job.error?.message ?? 'it was cancelled';
  const state = job.state === JobState.FAILED ? 'failed' : 'did not finish';
  throw new StatusError(1, `job ${id} ${state}: ${why}`);
}
