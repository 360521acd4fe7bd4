// torus dataset: data sets go in from files, are looked at, and leave.
import { basename } from 'node:path';
import type { Command } from 'commander';
import { DATA_FORMATS } from '../../catalog/documents.ts';
import { checkName } from '../../common/names.ts';
import { invalidArgument } from '../../common/status.ts';
import { DataSet, DataSetVersion, RejectedRow } from '../../proto/gen/torus/v1/data_set.ts';
import { Job } from '../../proto/gen/torus/v1/job.ts';
import { bytesText, table } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';
import { type CommandContext, clientCommand, followJob, lastPart, segment } from './context.ts';

const ADD_EXAMPLES = `
Examples:
  torus dataset add digits test/testdata/digits/digits.csv
  torus dataset add penguins penguins.json --max-bad-rows 5%
  torus dataset add sales sales.parquet --no-seal      more files may follow
`;

const LIST_EXAMPLES = `
Examples:
  torus dataset list
  torus dataset list --json | jq -r '.dataSets[].name'
`;

const SHOW_EXAMPLES = `
Examples:
  torus dataset show penguins
  torus dataset show penguins --rejected
`;

const SEAL_EXAMPLES = `
Examples:
  torus dataset add sales january.csv --no-seal
  torus dataset add sales february.csv --no-seal
  torus dataset seal sales                             now it can be trained on
`;

const REMOVE_EXAMPLES = `
Examples:
  torus dataset remove sales
`;

export function datasetCommand(parent: Command): void {
  const dataset = parent.command('dataset').description('add data sets, look at them, remove them');
  addCommand(dataset);
  listCommand(dataset);
  showCommand(dataset);
  sealCommand(dataset);
  removeCommand(dataset);
}

/** '1%' or '0.01' -> 0.01. @throws INVALID_ARGUMENT */
export function ratioOf(text: string): number {
  const found = /^(\d+(?:\.\d+)?)(%?)$/.exec(text.trim());
  const value = Number(found?.[1]) / (found?.[2] === '%' ? 100 : 1);
  if (found !== null && value >= 0 && value <= 1) return value;
  throw invalidArgument(`--max-bad-rows ${JSON.stringify(text)}: give a share like 1% or 0.01`);
}

export interface AddDataset {
  readonly name: string;
  readonly file: string;
  readonly format?: string;
  readonly maxBadRows?: string;
  readonly seals: boolean;
}

/** Uploads a file and waits until its rows are in. */
export async function addDataset(context: CommandContext, what: AddDataset): Promise<Job> {
  const { client, output } = context;
  // The server checks it too, but only after the upload.
  checkName('data set', what.name);
  if (what.format !== undefined && !DATA_FORMATS.some((known) => known === what.format)) {
    const given = JSON.stringify(what.format);
    throw invalidArgument(`--format ${given} must be one of ${DATA_FORMATS.join(', ')}`);
  }
  const ratio = what.maxBadRows === undefined ? {} : { maxBadRowRatio: ratioOf(what.maxBadRows) };
  const upload = startProgress(`upload ${what.name}`, {
    stream: process.stderr,
    isQuiet: output.isJson,
  });
  const blob = (await client
    .upload('/api/v1/blobs', what.file, (sent, size) => upload.update(sent / size, bytesText(sent)))
    .finally(() => upload.stop())) as { sha256: string };
  const started = await client.call('POST', `/api/v1/datasets/${segment(what.name)}/import`, {
    blobSha256: blob.sha256,
    fileName: basename(what.file),
    seal: what.seals,
    ...(what.format === undefined ? {} : { format: what.format }),
    ...ratio,
  });
  return followJob(context, Job.fromJSON(started), `import ${what.name}`);
}

function addCommand(dataset: Command): void {
  const command = dataset
    .command('add <name> <file>')
    .description('import a CSV, JSON, JSONL or Parquet file as a version of a data set')
    .option('--format <format>', 'csv, json, jsonl or parquet (default: by name and content)')
    .option('--max-bad-rows <share>', 'share of bad rows past which the import fails', '1%')
    .option('--no-seal', 'leave the version open, so that more files may be added to it')
    .addHelpText('after', ADD_EXAMPLES);
  clientCommand(command, async (context, { args }) => {
    const options = command.opts<{ format?: string; maxBadRows: string; seal: boolean }>();
    const { seal, ...rest } = options;
    const what = { name: args[0] ?? '', file: args[1] ?? '', seals: seal, ...rest };
    const job = await addDataset(context, what);
    const { accepted = 0, rejected = 0 } = job.result?.metrics ?? {};
    const lines = [
      `${job.result?.dataSetVersion}: ${accepted} rows accepted, ${rejected} rejected`,
    ];
    if (rejected > 0) lines.push(`see why: torus dataset show ${what.name} --rejected`);
    context.output.result(Job.toJSON(job), lines);
  });
}

function listCommand(dataset: Command): void {
  const command = dataset.command('list').description('list data sets');
  clientCommand(command.addHelpText('after', LIST_EXAMPLES), async (context) => {
    const answer = (await context.client.call('GET', '/api/v1/datasets?page_size=1000')) as {
      dataSets?: unknown[];
    };
    const sets = (answer.dataSets ?? []).map((one) => DataSet.fromJSON(one));
    const rows = sets.map((one) => [
      lastPart(one.name),
      String(one.latestSealedVersion),
      String(one.schema?.columns.length ?? 0),
      one.description,
    ]);
    context.output.result(answer, table(['DATA SET', 'SEALED VERSION', 'COLUMNS', ''], rows));
  });
}

function showCommand(dataset: Command): void {
  const command = dataset
    .command('show <name>')
    .description('show a data set, its versions, and with --rejected the rows that were refused')
    .option('--rejected', 'list rejected rows with their reasons')
    .addHelpText('after', SHOW_EXAMPLES);
  clientCommand(command, async (context, { args }) => {
    const base = `/api/v1/datasets/${segment(args[0] ?? '')}`;
    const one = DataSet.fromJSON(await context.client.call('GET', base));
    const answer = (await context.client.call('GET', `${base}/versions?page_size=1000`)) as {
      dataSetVersions?: unknown[];
    };
    const versions = (answer.dataSetVersions ?? []).map((v) => DataSetVersion.fromJSON(v));
    const isRejected = command.opts<{ rejected?: boolean }>().rejected === true;
    const rejected = isRejected ? await rejectedRows(context, base, versions) : [];
    const columns = (one.schema?.columns ?? []).map((column) => [
      column.name,
      column.type.replace('COLUMN_TYPE_', ''),
      column.nullable ? 'nullable' : '',
    ]);
    context.output.result(
      {
        dataSet: DataSet.toJSON(one),
        versions: versions.map((version) => DataSetVersion.toJSON(version)),
        ...(isRejected ? { rejected: rejected.map((row) => RejectedRow.toJSON(row)) } : {}),
      },
      [
        ...table(['VERSION', 'STATE', 'READ', 'ACCEPTED', 'REJECTED'], versions.map(versionRow)),
        '',
        ...table(['COLUMN', 'TYPE', ''], columns),
        ...(isRejected ? ['', ...rejectedLines(rejected)] : []),
      ],
    );
  });
}

function versionRow(version: DataSetVersion): readonly string[] {
  return [
    String(version.version),
    version.state.replace('DATA_SET_VERSION_STATE_', ''),
    String(version.readRows),
    String(version.acceptedRows),
    String(version.rejectedRows),
  ];
}

/** Reasons that do not say their row are given it. */
export function rejectedLines(
  rows: readonly Pick<RejectedRow, 'rowNumber' | 'reason'>[],
): readonly string[] {
  if (rows.length === 0) return ['no row was rejected'];
  return rows.map(({ rowNumber, reason }) =>
    reason.startsWith(`row ${rowNumber}`) ? reason : `row ${rowNumber}: ${reason}`,
  );
}

function sealCommand(dataset: Command): void {
  const command = dataset
    .command('seal <name>')
    .description('fix the open version of a data set, so that it can be trained on')
    .addHelpText('after', SEAL_EXAMPLES);
  clientCommand(command, async ({ client, output }, { args }) => {
    const path = `/api/v1/datasets/${segment(args[0] ?? '')}/seal`;
    const sealed = DataSetVersion.fromJSON(await client.call('POST', path));
    const text = `${sealed.name} is sealed with ${sealed.acceptedRows} rows`;
    output.result(DataSetVersion.toJSON(sealed), [text]);
  });
}

function removeCommand(dataset: Command): void {
  const command = dataset
    .command('remove <name>')
    .description('remove a data set with its rows; models trained on it stay')
    .addHelpText('after', REMOVE_EXAMPLES);
  clientCommand(command, async ({ client, output }, { args }) => {
    const name = args[0] ?? '';
    await client.call('DELETE', `/api/v1/datasets/${segment(name)}`);
    output.result({ removed: name }, [`${name} is removed`]);
  });
}

async function rejectedRows(
  context: CommandContext,
  base: string,
  /** Newest first, as they are listed. */
  versions: readonly DataSetVersion[],
): Promise<readonly RejectedRow[]> {
  const newest = versions.at(0);
  if (newest === undefined) return [];
  const path = `${base}/versions/${newest.version}/rejected?page_size=1000`;
  const answer = (await context.client.call('GET', path)) as { rejectedRows?: unknown[] };
  return (answer.rejectedRows ?? []).map((row) => RejectedRow.fromJSON(row));
}
