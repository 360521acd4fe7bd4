// torus jobs: what runs, ran and waits; follow one, or cancel it.
import type { Command } from 'commander';
import { Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { table } from '../client/output.ts';
import {
  type CommandContext,
  clientCommand,
  figure,
  followJob,
  lastPart,
  progressText,
  segment,
} from './context.ts';

const EXAMPLES = `
Examples:
  torus jobs                                           the same as torus jobs list
  torus jobs watch 20261123t220655099-6232073c         follow it; Ctrl-C leaves it running
  torus jobs cancel 20261123t220655099-6232073c
  torus jobs list --json | jq -r '.jobs[] | [.name, .state] | @tsv'
`;

export function jobsCommand(parent: Command): void {
  const jobs = parent
    .command('jobs')
    .description('list jobs, follow or cancel one')
    .addHelpText('afterAll', EXAMPLES);
  clientCommand(
    jobs.command('list', { isDefault: true }).description('list jobs, newest first'),
    listJobs,
  );
  const show = jobs.command('show <id>').description('show one job whole');
  clientCommand(show, async (context, { args }) => showJob(context, await get(context, args[0])));
  const watch = jobs.command('watch <id>').description("follow a job's progress until it ends");
  clientCommand(watch, async (context, { args }) => {
    const job = await get(context, args[0]);
    showJob(context, await followJob(context, job, lastPart(job.name)));
  });
  const cancel = jobs.command('cancel <id>').description('ask a job to stop');
  clientCommand(cancel, async (context, { args }) => {
    const path = `/api/v1/jobs/${segment(args[0] ?? '')}/cancel`;
    showJob(context, Job.fromJSON(await context.client.call('POST', path)));
  });
}

async function get(context: CommandContext, id: string | undefined): Promise<Job> {
  return Job.fromJSON(await context.client.call('GET', `/api/v1/jobs/${segment(id ?? '')}`));
}

function stateText(job: Job): string {
  return job.state.replace('JOB_STATE_', '').toLowerCase();
}

async function listJobs(context: CommandContext): Promise<void> {
  const answer = (await context.client.call('GET', '/api/v1/jobs?page_size=1000')) as {
    jobs?: unknown[];
  };
  const rows = (answer.jobs ?? []).map((one) => {
    const job = Job.fromJSON(one);
    const kind = job.kind.replace('JOB_KIND_', '').toLowerCase();
    const about = job.error?.message ?? job.result?.modelVersion ?? '';
    const set = job.result?.dataSetVersion ?? '';
    const percent = `${Math.round((job.progress?.fraction ?? 0) * 100)}%`;
    return [lastPart(job.name), kind, stateText(job), percent, about === '' ? set : about];
  });
  context.output.result(answer, table(['JOB', 'KIND', 'STATE', 'DONE', 'RESULT'], rows));
}

export function showJob(context: CommandContext, job: Job): void {
  const lines = [`job ${lastPart(job.name)}: ${stateText(job)}`];
  const doing = progressText(job);
  if (doing !== '' && job.state !== JobState.SUCCEEDED) lines.push(`  ${doing}`);
  if (job.error !== undefined) lines.push(`  error: ${job.error.message}`);
  const result = job.result?.modelVersion || job.result?.dataSetVersion;
  if (result !== undefined && result !== '') lines.push(`  result: ${result}`);
  for (const [key, value] of Object.entries(job.result?.metrics ?? {})) {
    lines.push(`  ${key}: ${figure(value)}`);
  }
  context.output.result(Job.toJSON(job), lines);
}
