// What may happen to a model, as pure changes of its document. Version numbers grow and are never
// given twice; the serving version is always one that is loaded, unless the model is unloaded
// whole.
import { failedPrecondition } from '../common/status.ts';
import { CATALOG_SCHEMA, DEFAULT_POLICY, type ModelDoc, type VersionDoc } from './documents.ts';

/** Versions of one model that may be loaded together; more are refused with FAILED_PRECONDITION. */
export const MAX_LOADED_VERSIONS = 32;

export function newModel(
  name: string,
  dateMs: number,
  given: { readonly description?: string; readonly policy?: ModelDoc['policy'] } = {},
): ModelDoc {
  return {
    schema: CATALOG_SCHEMA,
    name,
    description: given.description ?? '',
    servingVersion: 0,
    loadedVersions: [],
    nextVersion: 1,
    policy: given.policy ?? DEFAULT_POLICY,
    createdMs: dateMs,
    updatedMs: dateMs,
  };
}

/** Takes `wanted`, or the next number when it is 0: it is `version` of the answer. */
export function takeVersionNumber(
  model: ModelDoc,
  wanted: number,
  dateMs: number,
): { readonly model: ModelDoc; readonly version: number } {
  const version = wanted === 0 ? model.nextVersion : wanted;
  const nextVersion = Math.max(model.nextVersion, version + 1);
  return { model: { ...model, nextVersion, updatedMs: dateMs }, version };
}

/**
 * Calls without a version go to this one from now on. It takes the place of the old serving version
 * among the loaded ones; nodes keep the old one until the new one is ready.
 * @throws FAILED_PRECONDITION when it is not READY.
 */
export function promote(model: ModelDoc, version: VersionDoc, dateMs: number): ModelDoc {
  checkReady(version);
  if (model.servingVersion === version.version && isLoaded(model, version.version)) return model;
  const others = model.loadedVersions.filter((other) => other !== model.servingVersion);
  return {
    ...model,
    servingVersion: version.version,
    loadedVersions: joined(model, others, version.version),
    updatedMs: dateMs,
  };
}

/** Makes a version reachable by its number. @throws FAILED_PRECONDITION when it is not READY. */
export function loadVersion(model: ModelDoc, version: VersionDoc, dateMs: number): ModelDoc {
  checkReady(version);
  if (isLoaded(model, version.version)) return model;
  const loadedVersions = joined(model, model.loadedVersions, version.version);
  return { ...model, loadedVersions, updatedMs: dateMs };
}

/** Unloads every version; which one serves is remembered for the next load. */
export function unloadAll(model: ModelDoc, dateMs: number): ModelDoc {
  return model.loadedVersions.length === 0
    ? model
    : { ...model, loadedVersions: [], updatedMs: dateMs };
}

/** No version serves or is loaded any more. */
export function retire(model: ModelDoc, dateMs: number): ModelDoc {
  // No change: of many that delete a model none is to get in the others' way.
  if (model.servingVersion === 0 && model.loadedVersions.length === 0) return model;
  return { ...model, servingVersion: 0, loadedVersions: [], updatedMs: dateMs };
}

/**
 * Lets go of a version that is to be deleted; always a change, so that a promotion that is under
 * way at the same time has to look again.
 * @throws FAILED_PRECONDITION when it is the serving one.
 */
export function dropVersion(model: ModelDoc, version: number, dateMs: number): ModelDoc {
  if (model.servingVersion === version) {
    throw failedPrecondition(
      `version ${version} of model '${model.name}' is its serving version: promote ` +
        'another one first',
    );
  }
  const loadedVersions = model.loadedVersions.filter((other) => other !== version);
  return { ...model, loadedVersions, updatedMs: dateMs };
}

function isLoaded(model: ModelDoc, version: number): boolean {
  return model.loadedVersions.includes(version);
}

function joined(model: ModelDoc, others: readonly number[], version: number): number[] {
  const versions = [...new Set([...others, version])].sort((a, b) => a - b);
  if (versions.length <= MAX_LOADED_VERSIONS) return versions;
  throw failedPrecondition(
    `model '${model.name}' has ${others.length} loaded versions, the most are ` +
      `${MAX_LOADED_VERSIONS}: delete some first`,
  );
}

function checkReady(version: VersionDoc): void {
  if (version.state === 'READY') return;
  throw failedPrecondition(
    `version ${version.version} of model '${version.model}' is ${version.state}, only a READY ` +
      `one can be served${version.reason === '' ? '' : `: ${version.reason}`}`,
  );
}
