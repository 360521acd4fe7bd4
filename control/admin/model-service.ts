// torus.v1.ModelService: models, their policy, their versions, and imports of uploaded files.

import { versionKey } from '../../catalog/catalog.ts';
import type { VersionDoc } from '../../catalog/documents.ts';
import { DEFAULT_POLICY, type ModelDoc } from '../../catalog/documents.ts';
import { newModel, promote } from '../../catalog/models.ts';
import { changeModel, deleteModel, deleteVersion } from '../../catalog/versions.ts';
import { checkName } from '../../common/names.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import type { Job } from '../../proto/gen/torus/v1/job.ts';
import type { Model, ModelPolicy } from '../../proto/gen/torus/v1/model.ts';
import {
  type ImportModelVersionRequest,
  type ListModelsRequest,
  type ListModelVersionsRequest,
  ModelServiceService,
  type UpdateModelRequest,
} from '../../proto/gen/torus/v1/model_service.ts';
import type { Backend } from '../../transport/backend.ts';
import { serveDefinition } from '../../transport/definition.ts';
import { type AdminContext, requireBlob, submitJob } from './admin-context.ts';
import { descriptionOf, numberOf, revisionOf } from './fields.ts';
import { importModelSpecOf } from './import-specs.ts';
import { jobMessage } from './job-messages.ts';
import { modelMessage, policyOf, versionMessage } from './model-messages.ts';
import { pageByKey, pageNewestFirst } from './paging.ts';
import { modelOf, modelVersionOf } from './resource-names.ts';

export function modelService(context: AdminContext): Backend {
  const { catalog, dateMs, log } = context;
  return serveDefinition(
    ModelServiceService,
    {
      createModel: async ({ modelId, model }) => {
        const name = checkName('model', modelId);
        const given = {
          description: descriptionOf(model?.description ?? ''),
          policy: policyOf(model?.policy, DEFAULT_POLICY),
        };
        return modelMessage(await catalog.create('model', name, newModel(name, dateMs(), given)));
      },
      getModel: async ({ name }) => modelMessage(await catalog.require('model', modelOf(name))),
      listModels: (request) => listModels(context, request),
      updateModel: (request) => updateModel(context, request),
      deleteModel: async ({ name, etag, force }) => {
        await deleteModel(catalog, modelOf(name), { revision: revisionOf(etag), force }, dateMs());
        return {};
      },
      importModelVersion: (request) => importModelVersion(context, request),
      getModelVersion: async ({ name }) => {
        const { id, version } = modelVersionOf(name);
        return versionMessage(await catalog.require('version', versionKey(id, version)));
      },
      listModelVersions: (request) => listModelVersions(context, request),
      deleteModelVersion: async ({ name, etag }) => {
        const { id, version } = modelVersionOf(name);
        await deleteVersion(catalog, id, version, revisionOf(etag), dateMs());
        return {};
      },
    },
    log,
  );
}

async function listModels({ catalog }: AdminContext, request: ListModelsRequest) {
  const page = await pageByKey(request, (range) => catalog.list('model', range));
  return { models: page.items.map(modelMessage), nextPageToken: page.nextPageToken };
}

async function listModelVersions({ catalog }: AdminContext, request: ListModelVersionsRequest) {
  const model = modelOf(request.parent, 'parent');
  await catalog.require('model', model);
  const versions = await catalog.all('version', `${model}/`);
  const { items, nextPageToken } = pageNewestFirst(versions, ({ key }) => key, request);
  return { modelVersions: items.map(versionMessage), nextPageToken };
}

async function importModelVersion(
  context: AdminContext,
  request: ImportModelVersionRequest,
): Promise<Job> {
  const spec = importModelSpecOf(request);
  for (const file of spec.files) {
    file.sizeBytes = await requireBlob(context, file.sha256, file.sizeBytes);
  }
  if (spec.version !== 0) await checkFree(context, spec.model, spec.version);
  return jobMessage(await submitJob(context, request.jobId, spec));
}

async function checkFree({ catalog }: AdminContext, model: string, version: number) {
  if ((await catalog.get('version', versionKey(model, version))) === undefined) return;
  throw new StatusError(
    Code.ALREADY_EXISTS,
    `version ${version} of model '${model}' is there already: give another number, or none`,
  );
}

/** What an update changes; fields that are undefined stay. */
interface Update {
  description?: string;
  policy?: ModelPolicy;
  servingVersion?: number;
}

const POLICY_FIELDS: Readonly<Record<string, keyof ModelPolicy>> = {
  min_copies: 'minCopies',
  max_copies: 'maxCopies',
  idempotent: 'idempotent',
  hedging: 'hedging',
  zone_spread: 'zoneSpread',
};

async function updateModel(
  { catalog, dateMs }: AdminContext,
  { model, updateMask }: UpdateModelRequest,
): Promise<Model> {
  if (model === undefined) throw invalidArgument('model must be given, its name says which');
  const update = updateOf(model, updateMask ?? []);
  const seen = { revision: revisionOf(model.etag), version: update.servingVersion };
  const changed = await changeModel(
    catalog,
    modelOf(model.name, 'model.name'),
    seen,
    (doc, version) => applied(doc, update, version, dateMs()),
  );
  return modelMessage(changed);
}

function applied(
  doc: ModelDoc,
  { description, policy }: Update,
  version: VersionDoc | undefined,
  dateMs: number,
): ModelDoc {
  const next: ModelDoc = {
    ...doc,
    description: description ?? doc.description,
    policy: policyOf(policy, doc.policy),
    updatedMs: dateMs,
  };
  return version === undefined ? next : promote(next, version, dateMs);
}

/** @throws INVALID_ARGUMENT for paths that are not there or can't be changed. */
function updateOf(model: Model, mask: readonly string[]): Update {
  if (mask.length === 0) {
    return {
      ...(model.description === '' ? {} : { description: descriptionOf(model.description) }),
      ...(model.policy === undefined ? {} : { policy: model.policy }),
      ...(model.servingVersion === 0n ? {} : { servingVersion: servingVersionOf(model) }),
    };
  }
  const update: Update = {};
  for (const path of mask) {
    const [field, inner, ...more] = path.split('.');
    const policyField = POLICY_FIELDS[inner ?? ''];
    if (path === 'description') update.description = descriptionOf(model.description);
    else if (path === 'serving_version') update.servingVersion = servingVersionOf(model);
    else if (path === 'policy') update.policy = wholePolicy(model.policy);
    else if (field === 'policy' && policyField !== undefined && more.length === 0) {
      const value = wholePolicy(model.policy)[policyField];
      update.policy = { ...update.policy, [policyField]: value };
    } else {
      throw invalidArgument(
        `update_mask ${JSON.stringify(path.slice(0, 100))} must be description, serving_version, ` +
          `policy or policy. and one of ${Object.keys(POLICY_FIELDS).join(', ')}`,
      );
    }
  }
  return update;
}

/** Fields that the mask names and the message lacks get their default. */
function wholePolicy(given: ModelPolicy | undefined): Required<ModelPolicy> {
  const minCopies = given?.minCopies ?? DEFAULT_POLICY.minCopies;
  return {
    minCopies,
    maxCopies: given?.maxCopies ?? Math.max(DEFAULT_POLICY.maxCopies, minCopies),
    idempotent: given?.idempotent ?? DEFAULT_POLICY.isIdempotent,
    hedging: given?.hedging ?? DEFAULT_POLICY.allowsHedging,
    zoneSpread: given?.zoneSpread ?? DEFAULT_POLICY.spreadsZones,
  };
}

function servingVersionOf({ servingVersion }: Model): number {
  return numberOf('serving_version', servingVersion, 1);
}
