// Models and versions, between the catalog's documents and the admin API's messages.
import type { Entry } from '../../catalog/catalog.ts';
import type { ModelDoc, VersionDoc } from '../../catalog/documents.ts';
import { invalidArgument } from '../../common/status.ts';
import {
  type Model,
  type ModelPolicy,
  type ModelVersion,
  ModelVersionState,
} from '../../proto/gen/torus/v1/model.ts';
import { dateOf, etagOf } from './fields.ts';
import { modelName, modelVersionName, sourceName } from './resource-names.ts';

/** More copies of one version than this are refused with INVALID_ARGUMENT. */
export const MAX_COPIES = 1_000;

const VERSION_STATES: Record<VersionDoc['state'], ModelVersionState> = {
  READY: ModelVersionState.READY,
  FAILED: ModelVersionState.FAILED,
  QUARANTINED: ModelVersionState.QUARANTINED,
};

export function modelMessage({ doc, revision }: Entry<'model'>): Model {
  const { policy } = doc;
  return {
    name: modelName(doc.name),
    description: doc.description,
    policy: {
      minCopies: policy.minCopies,
      maxCopies: policy.maxCopies,
      idempotent: policy.isIdempotent,
      hedging: policy.allowsHedging,
      zoneSpread: policy.spreadsZones,
    },
    servingVersion: BigInt(doc.servingVersion),
    createTime: dateOf(doc.createdMs),
    updateTime: dateOf(doc.updatedMs),
    etag: etagOf(revision),
  };
}

const tensors = (specs: VersionDoc['inputs']): ModelVersion['inputs'] =>
  specs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) }));

export function versionMessage({ doc, revision }: Entry<'version'>): ModelVersion {
  return {
    name: modelVersionName(doc.model, doc.version),
    version: BigInt(doc.version),
    state: VERSION_STATES[doc.state],
    reason: doc.reason,
    manifestSha256: doc.manifestSha256,
    platform: doc.platform,
    inputs: tensors(doc.inputs),
    outputs: tensors(doc.outputs),
    sizeBytes: BigInt(doc.sizeBytes),
    metrics: doc.metrics,
    source: sourceName(doc.source),
    labels: doc.labels,
    createTime: dateOf(doc.createdMs),
    etag: etagOf(revision),
  };
}

/**
 * `before` with the fields that are given. @throws INVALID_ARGUMENT when they do not go together.
 */
export function policyOf(
  given: ModelPolicy | undefined,
  before: ModelDoc['policy'],
): ModelDoc['policy'] {
  const minCopies = given?.minCopies ?? before.minCopies;
  const policy = {
    minCopies,
    maxCopies: given?.maxCopies ?? Math.max(before.maxCopies, minCopies, 1),
    isIdempotent: given?.idempotent ?? before.isIdempotent,
    allowsHedging: given?.hedging ?? before.allowsHedging,
    spreadsZones: given?.zoneSpread ?? before.spreadsZones,
  };
  checkPolicy(policy);
  return policy;
}

function checkPolicy({ minCopies, maxCopies, ...policy }: ModelDoc['policy']): void {
  if (minCopies < 0 || minCopies > MAX_COPIES) {
    throw invalidArgument(`policy.min_copies ${minCopies} must be 0 to ${MAX_COPIES}`);
  }
  if (maxCopies < Math.max(1, minCopies) || maxCopies > MAX_COPIES) {
    throw invalidArgument(
      `policy.max_copies ${maxCopies} must be at least 1 and policy.min_copies (${minCopies}), ` +
        `at most ${MAX_COPIES}`,
    );
  }
  if (policy.allowsHedging && !policy.isIdempotent) {
    throw invalidArgument('policy.hedging sends a call twice: it needs policy.idempotent');
  }
}
