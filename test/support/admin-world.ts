// For the tests of the admin services: control's parts over stores in memory, called as clients
// call them, bytes and all, without a wire.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Catalog, versionKey } from '../../catalog/catalog.ts';
import type { VersionDoc } from '../../catalog/documents.ts';
import { publishVersion, reserveVersion } from '../../catalog/publish.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { codeName, StatusError } from '../../common/status.ts';
import type { AdminContext } from '../../control/admin/admin-context.ts';
import { clusterService } from '../../control/admin/cluster-service.ts';
import { datasetService } from '../../control/admin/dataset-service.ts';
import { jobService } from '../../control/admin/job-service.ts';
import { modelService } from '../../control/admin/model-service.ts';
import { ClusterServiceService } from '../../proto/gen/torus/v1/cluster_service.ts';
import { DataSetServiceService } from '../../proto/gen/torus/v1/data_set_service.ts';
import { JobServiceService } from '../../proto/gen/torus/v1/job_service.ts';
import { ModelServiceService } from '../../proto/gen/torus/v1/model_service.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import { openDirectoryBlobs } from '../../stores/blobs/directory.ts';
import { MemoryDatasets } from '../../stores/datasets/memory.ts';
import { MemoryDocuments } from '../../stores/documents/memory.ts';
import { clientOf } from '../../transport/definition.ts';

const log = createLog({ role: 'test', level: 'silent' });

/** Every wait is over at once: watches look as often as they can. */
const hastyClock: Clock = {
  nowMs: () => 0,
  after(_delayMs, callback) {
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
};

/** @param teardown takes what ends the world, as AVA's t.teardown does. */
export async function adminWorld(teardown: (end: () => Promise<void>) => void) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-admin-'));
  const blobs = await openDirectoryBlobs(folder);
  teardown(async () => {
    await blobs.close();
    await rm(folder, { recursive: true });
  });
  let now = 0;
  const context = {
    catalog: new Catalog(new MemoryDocuments()),
    registry: new MemoryRegistry(systemClock),
    datasets: new MemoryDatasets(),
    blobs,
    clock: hastyClock,
    log,
    dateMs: () => {
      now += 1;
      return now;
    },
  } satisfies AdminContext;
  const { catalog } = context;
  return {
    ...context,
    models: clientOf(ModelServiceService, modelService(context)),
    datasetsApi: clientOf(DataSetServiceService, datasetService(context)),
    jobs: clientOf(JobServiceService, jobService(context)),
    cluster: clientOf(ClusterServiceService, clusterService(context)),
    async upload(text: string): Promise<string> {
      const bytes = new TextEncoder().encode(text);
      const source = (async function* () {
        yield bytes;
      })();
      return (await blobs.write(source, { maxBytes: 1_000_000 })).sha256;
    },
    /** A READY version, made without a job. */
    async publish(model: string, promotes: boolean, given: Partial<VersionDoc> = {}) {
      const version = await reserveVersion(catalog, { model, wanted: 0 }, 0);
      const doc = {
        model,
        version,
        state: 'READY' as const,
        reason: '',
        manifestSha256: String(version).padStart(64, '0'),
        platform: 'onnxruntime_onnx',
        inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [-1, 4] }],
        outputs: [],
        sizeBytes: 10,
        metrics: { accuracy: 0.9 },
        labels: {},
        source: 'upload',
        ...given,
      };
      await publishVersion(catalog, { version: doc, promotes }, 0);
      return versionKey(model, version);
    },
  };
}

/** 'NOT_FOUND: model 'x' is not found', or 'OK'. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    if (error instanceof StatusError) return `${codeName(error.code)}: ${error.message}`;
    throw error;
  }
}
