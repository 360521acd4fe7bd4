// torus model: versions go in from files, are listed, serve, and leave.
import { lstat, readdir } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import type { Command } from 'commander';
import { checkName } from '../../common/names.ts';
import { invalidArgument, notFound } from '../../common/status.ts';
import { Job } from '../../proto/gen/torus/v1/job.ts';
import { Model, ModelVersion } from '../../proto/gen/torus/v1/model.ts';
import { bytesText, table } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';
import {
  type CommandContext,
  clientCommand,
  followJob,
  lastPart,
  segment,
  versionOf,
} from './context.ts';

/** A folder with more files is refused: it is hardly a model version. */
const MAX_FILES = 1_000;

const ADD_EXAMPLES = `
Examples:
  torus model add iris iris.onnx
  torus model add resnet ./resnet/1 --no-promote     a folder: model.onnx, config.pbtxt, weights

A whole repository in Triton's layout goes in with: torus up --model-repository DIR
`;

const LIST_EXAMPLES = `
Examples:
  torus model list
  torus model list --json | jq -r '.models[].name'
`;

const SHOW_EXAMPLES = `
Examples:
  torus model show iris          versions, and the tensors that the newest takes and gives
`;

const PROMOTE_EXAMPLES = `
Examples:
  torus model promote iris 3
  torus model promote iris 2     back to the one before
`;

const REMOVE_EXAMPLES = `
Examples:
  torus model remove iris --version 1
  torus model remove iris
`;

export function modelCommand(parent: Command): void {
  const model = parent.command('model').description('add models, look at them, choose versions');
  addCommand(model);
  const list = model.command('list').description('list models');
  clientCommand(list.addHelpText('after', LIST_EXAMPLES), listModels);
  const show = model.command('show <name>').description('show a model and its versions');
  clientCommand(show.addHelpText('after', SHOW_EXAMPLES), (context, { args }) =>
    showModel(context, args[0] ?? ''),
  );
  promoteCommand(model);
  removeCommand(model);
}

interface LocalFile {
  readonly path: string;
  /** Inside the version's folder, with '/'. */
  readonly name: string;
}

/** One .onnx file, or all files below a folder; links are refused. */
export async function modelFiles(path: string): Promise<readonly LocalFile[]> {
  const info = await lstat(path).catch(() => {
    throw notFound(`${path} is not there: give an .onnx file, or the folder of a version`);
  });
  if (info.isFile()) {
    const name = path.endsWith('.onnx') ? 'model.onnx' : basename(path);
    return [{ path, name }];
  }
  if (!info.isDirectory()) throw invalidArgument(`${path} is neither a file nor a folder`);
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const link = entries.find((entry) => entry.isSymbolicLink());
  if (link !== undefined) throw invalidArgument(`${path}: ${link.name} is a link; copy the file`);
  const files = entries.filter((entry) => entry.isFile());
  if (files.length === 0) throw invalidArgument(`${path} has no files`);
  if (files.length > MAX_FILES) {
    throw invalidArgument(`${path} has ${files.length} files, at most ${MAX_FILES} are allowed`);
  }
  return files.map((entry) => {
    const full = join(entry.parentPath, entry.name);
    return { path: full, name: relative(path, full).split(sep).join('/') };
  });
}

async function addModel(context: CommandContext, name: string, path: string, promote: boolean) {
  const { client, output } = context;
  // The server checks it too, but only after the upload.
  checkName('model', name);
  const files = await modelFiles(path);
  const bar = startProgress(`upload ${name}`, { stream: process.stderr, isQuiet: output.isJson });
  const uploaded: { path: string; sha256: string; sizeBytes: string }[] = [];
  try {
    for (const [at, file] of files.entries()) {
      const blob = (await client.upload('/api/v1/blobs', file.path, (sent, size) =>
        bar.update((at + sent / size) / files.length, `${file.name} ${bytesText(sent)}`),
      )) as { sha256: string; sizeBytes: number | string };
      const { sha256, sizeBytes } = blob;
      uploaded.push({ path: file.name, sha256, sizeBytes: String(sizeBytes) });
    }
  } finally {
    bar.stop();
  }
  const body = { files: uploaded, promote };
  const started = await client.call('POST', `/api/v1/models/${segment(name)}/versions`, body);
  return followJob(context, Job.fromJSON(started), `import ${name}`);
}

function addCommand(model: Command): void {
  const command = model
    .command('add <name> <path>')
    .description('import a model file, or the folder of a version, as the next version')
    .option('--no-promote', 'leave the serving version as it is')
    .addHelpText('after', ADD_EXAMPLES);
  clientCommand(command, async (context, { args }) => {
    const { promote } = command.opts<{ promote: boolean }>();
    const job = await addModel(context, args[0] ?? '', args[1] ?? '', promote);
    context.output.result(Job.toJSON(job), [`${job.result?.modelVersion} is ready`]);
  });
}

async function listModels(context: CommandContext): Promise<void> {
  const answer = (await context.client.call('GET', '/api/v1/models?page_size=1000')) as {
    models?: unknown[];
  };
  const rows = (answer.models ?? []).map((one) => {
    const model = Model.fromJSON(one);
    return [lastPart(model.name), String(model.servingVersion), model.description];
  });
  context.output.result(answer, table(['MODEL', 'SERVING VERSION', ''], rows));
}

async function showModel(context: CommandContext, name: string): Promise<void> {
  const base = `/api/v1/models/${segment(name)}`;
  const model = Model.fromJSON(await context.client.call('GET', base));
  const answer = (await context.client.call('GET', `${base}/versions?page_size=1000`)) as {
    modelVersions?: unknown[];
  };
  const versions = (answer.modelVersions ?? []).map((one) => ModelVersion.fromJSON(one));
  const rows = versions.map((version) => [
    String(version.version),
    version.version === model.servingVersion ? 'serving' : '',
    version.state.replace('MODEL_VERSION_STATE_', ''),
    bytesText(Number(version.sizeBytes)),
    version.source,
    version.reason,
  ]);
  const newest = versions.at(0);
  const tensors = (newest === undefined ? [] : [...newest.inputs, ...newest.outputs]).map(
    (spec, at) => [
      at < (newest?.inputs.length ?? 0) ? 'input' : 'output',
      spec.name,
      spec.datatype,
      `[${spec.shape.join(',')}]`,
    ],
  );
  context.output.result(
    { model: Model.toJSON(model), versions: versions.map((one) => ModelVersion.toJSON(one)) },
    [
      ...table(['VERSION', '', 'STATE', 'SIZE', 'SOURCE', ''], rows),
      '',
      ...table(['', 'TENSOR', 'DATATYPE', 'SHAPE'], tensors),
    ],
  );
}

function promoteCommand(model: Command): void {
  const command = model
    .command('promote <name> <version>')
    .description('make a version the serving one; it is loaded before the other one leaves')
    .addHelpText('after', PROMOTE_EXAMPLES);
  clientCommand(command, async ({ client, output }, { args: [name = '', given = ''] }) => {
    const version = versionOf(given);
    const path = `/api/v1/models/${segment(name)}?update_mask=serving_version`;
    const answer = await client.call('PATCH', path, { servingVersion: version });
    const promoted = Model.fromJSON(answer);
    output.result(Model.toJSON(promoted), [`${name} version ${promoted.servingVersion} serves`]);
  });
}

function removeCommand(model: Command): void {
  const command = model
    .command('remove <name>')
    .description('remove a model with all its versions, or one version')
    .option('--version <number>', 'this version only')
    .addHelpText('after', REMOVE_EXAMPLES);
  clientCommand(command, async (context, { args }) => {
    const { version } = command.opts<{ version?: string }>();
    const base = `/api/v1/models/${segment(args[0] ?? '')}`;
    const path =
      version === undefined ? `${base}?force=true` : `${base}/versions/${versionOf(version)}`;
    await context.client.call('DELETE', path);
    const what = version === undefined ? args[0] : `${args[0]} version ${version}`;
    context.output.result({ removed: what }, [`${what} is removed`]);
  });
}
