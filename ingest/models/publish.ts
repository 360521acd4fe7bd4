// From uploaded files to a version in the catalog: recognise, verify, write the manifest, publish.
// Nothing is visible before the last step, and what was served before goes on being served when one
// of them fails.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Catalog } from '../../catalog/catalog.ts';
import type { ImportModelSpec, VersionDoc } from '../../catalog/documents.ts';
import type { JobHandler } from '../../catalog/job-loop.ts';
import type { JobClaim } from '../../catalog/jobs.ts';
import { isNewest, publishedBy, publishVersion, reserveVersion } from '../../catalog/publish.ts';
import type { Log } from '../../common/log.ts';
import { failedPrecondition, invalidArgument } from '../../common/status.ts';
import type { TensorSpec } from '../../common/tensor.ts';
import { DEFAULT_MODEL_FILENAME, PLATFORM } from '../../model/config/derive.ts';
import { parseConfig } from '../../model/config/pbtxt.ts';
import { policyOf } from '../../model/config/policy.ts';
import { MANIFEST_SCHEMA, type Manifest, writeManifest } from '../../model/manifest.ts';
import type { BlobReader, BlobStore } from '../../stores/blobs/blobs.ts';
import { diskError } from '../../stores/disk-error.ts';
import type { Inspection } from './inspect.ts';
import { materialise } from './materialise.ts';
import { CONFIG_FILE, checkPaths, type ModelFile, placeFiles } from './model-file.ts';
import { recogniseModel } from './recognise.ts';
import { type VerifyOptions, verifyModel } from './verify.ts';

/** Longer text of config.pbtxt: INVALID_ARGUMENT. It becomes part of the manifest. */
export const MAX_CONFIG_BYTES = 256 * 1024;

export interface ModelImportOptions {
  readonly catalog: Catalog;
  readonly blobs: BlobStore;
  /**
   * Where folders for verification are made; each is removed again. What a crash leaves there (its
   * name starts with 'model-') is for the process that owns the folder to remove at its start.
   */
  readonly tempDir: string;
  readonly dateMs: () => number;
  readonly log: Log;
  /** Default verifyModel: in a child process. */
  readonly verify?: (options: VerifyOptions) => Promise<Inspection>;
}

export interface ImportRun {
  readonly signal: AbortSignal;
  progress(fraction: number, step: string, metrics?: Readonly<Record<string, number>>): void;
  /** The job that imports, if one does. */
  readonly claim?: JobClaim;
}

/** The handler of import_model jobs (catalog/job-loop.ts). */
export function modelImporter(options: ModelImportOptions): JobHandler<ImportModelSpec> {
  return async (job, context) => {
    const spec = { ...job.spec, source: job.id };
    const published = await publishedBy(options.catalog, job, spec.model);
    const version =
      published === undefined
        ? await importModel(options, spec, context)
        : await finish(options, published, spec, context.claim);
    return {
      name: `models/${version.model}/versions/${version.version}`,
      metrics: version.metrics,
    };
  };
}

/** What an earlier run of a job may have left undone after it wrote its version. */
async function finish(
  { catalog, dateMs }: ModelImportOptions,
  version: VersionDoc,
  spec: ImportModelSpec,
  claim: JobClaim,
): Promise<VersionDoc> {
  const promotes = spec.promotes && (await isNewest(catalog, version));
  return (await publishVersion(catalog, { version, promotes, claim }, dateMs())).doc;
}

/**
 * @throws INVALID_ARGUMENT or UNIMPLEMENTED for a model that can't be served, with the reason;
 * FAILED_PRECONDITION when an uploaded file is gone; ALREADY_EXISTS when the version is there.
 */
export async function importModel(
  options: ModelImportOptions,
  spec: ImportModelSpec,
  run: ImportRun,
): Promise<VersionDoc> {
  run.progress(0, 'recognising');
  checkPaths(spec.files.map(({ path }) => path));
  const files = await Promise.all(spec.files.map((file) => openFile(options.blobs, file)));
  const configPbtxt = await readConfig(files);
  const stated = parseConfig(configPbtxt).defaultModelFilename;
  const modelPath = await recogniseModel(files, stated, spec.format);
  const filename = stated === '' ? DEFAULT_MODEL_FILENAME : stated;
  const places = placeFiles(
    files.map(({ path }) => path),
    modelPath,
    filename,
  );
  const placed = spec.files.flatMap(({ path, sha256, sizeBytes }) => {
    const place = places.get(path);
    return place === undefined ? [] : [{ path: place, sha256, sizeBytes }];
  });
  const inspection = await inspect(options, { spec, placed, filename, configPbtxt }, run);
  run.progress(0.9, 'publishing');
  return await publish(options, { spec, placed, inspection }, run);
}

async function openFile(
  blobs: BlobReader,
  { path, sha256, sizeBytes }: ImportModelSpec['files'][number],
): Promise<ModelFile> {
  const info = await blobs.stat(sha256);
  if (info === undefined) {
    throw failedPrecondition(`the content of '${path}' is not stored (any more): upload it again`);
  }
  if (info.sizeBytes !== sizeBytes) {
    throw invalidArgument(`'${path}' is told to have ${sizeBytes} bytes, it has ${info.sizeBytes}`);
  }
  const read = async (startByte: number, maxBytes: number): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    let length = 0;
    if (startByte >= sizeBytes) return new Uint8Array();
    for await (const part of blobs.read(sha256, { startByte })) {
      parts.push(part.slice(0, maxBytes - length));
      length += part.length;
      if (length >= maxBytes) break;
    }
    return Buffer.concat(parts);
  };
  return { path, sizeBytes, read };
}

/** '' when there is none. */
async function readConfig(files: readonly ModelFile[]): Promise<string> {
  const file = files.find(({ path }) => path === CONFIG_FILE);
  if (file === undefined) return '';
  if (file.sizeBytes > MAX_CONFIG_BYTES) {
    throw invalidArgument(
      `${CONFIG_FILE} has ${file.sizeBytes} bytes, at most ${MAX_CONFIG_BYTES} are read`,
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.read(0, MAX_CONFIG_BYTES));
  } catch (cause) {
    throw invalidArgument(`${CONFIG_FILE} is not valid UTF-8 (${cause})`);
  }
}

interface Placed {
  readonly spec: ImportModelSpec;
  readonly placed: Manifest['files'];
}

async function inspect(
  { blobs, tempDir, verify = verifyModel, log }: ModelImportOptions,
  { spec, placed, filename, configPbtxt }: Placed & { filename: string; configPbtxt: string },
  run: ImportRun,
): Promise<Inspection> {
  const dir = await makeFolder(tempDir);
  try {
    run.progress(0.1, 'fetching');
    await materialise(blobs, placed, dir, run.signal);
    run.progress(0.5, 'verifying');
    const inspection = await verify({
      model: spec.model,
      modelPath: join(dir, filename),
      configPbtxt,
      sizeBytes: placed.reduce((sum, file) => sum + file.sizeBytes, 0),
      signal: run.signal,
    });
    if (inspection.note !== '') log.warn({ model: spec.model }, inspection.note);
    return inspection;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function makeFolder(tempDir: string): Promise<string> {
  try {
    await mkdir(tempDir, { recursive: true });
    return await mkdtemp(join(tempDir, 'model-'));
  } catch (thrown) {
    throw diskError(thrown, 'make a folder for a model', '');
  }
}

async function publish(
  { catalog, blobs, dateMs }: ModelImportOptions,
  { spec, placed, inspection }: Placed & { inspection: Inspection },
  { claim, signal }: ImportRun,
): Promise<VersionDoc> {
  const { signature, configPbtxt, trialRunMs } = inspection;
  const { model, labels, source, promotes } = spec;
  const claimed = claim === undefined ? {} : { claim };
  signal.throwIfAborted();
  const reservation = { model, wanted: spec.version, ...claimed };
  const version = await reserveVersion(catalog, reservation, dateMs());
  const stored = await writeManifest(blobs, {
    schema: MANIFEST_SCHEMA,
    model,
    version,
    platform: PLATFORM,
    files: placed,
    configPbtxt,
    inputs: signature.inputs.map(copyOf),
    outputs: signature.outputs.map(copyOf),
  });
  await applyPolicy(catalog, model, configPbtxt, dateMs());
  const entry = await publishVersion(
    catalog,
    {
      version: {
        model,
        version,
        state: 'READY',
        reason: '',
        manifestSha256: stored.sha256,
        platform: PLATFORM,
        inputs: signature.inputs.map(copyOf),
        outputs: signature.outputs.map(copyOf),
        sizeBytes: placed.reduce((sum, file) => sum + file.sizeBytes, 0),
        metrics: trialRunMs === undefined ? {} : { trial_run_ms: trialRunMs },
        labels,
        source,
      },
      promotes,
      ...claimed,
    },
    dateMs(),
  );
  return entry.doc;
}

function copyOf(spec: TensorSpec): Manifest['inputs'][number] {
  return { ...spec, shape: [...spec.shape] };
}

/** What the configuration states of the policy takes the place of what the model had. */
async function applyPolicy(
  catalog: Catalog,
  model: string,
  configPbtxt: string,
  nowMs: number,
): Promise<void> {
  // How a node runs the model is its own affair: it reads the configuration itself.
  const { maxRunMs, maxLoadMs, execution, ...stated } = policyOf(parseConfig(configPbtxt));
  if (Object.keys(stated).length === 0) return;
  await catalog.update('model', model, (doc) => {
    const policy = { ...doc.policy, ...stated };
    const maxCopies = Math.max(policy.maxCopies, policy.minCopies, 1);
    return { ...doc, policy: { ...policy, maxCopies }, updatedMs: nowMs };
  });
}
