// The cluster as its operator reaches it: models are published, and the status asked, over any
// control process that answers.
import {
  ClusterServiceService,
  type ClusterStatus,
} from '../../proto/gen/torus/v1/cluster_service.ts';
import { type Job, JobState } from '../../proto/gen/torus/v1/job.ts';
import { JobServiceService } from '../../proto/gen/torus/v1/job_service.ts';
import {
  CreateModelRequest,
  ImportModelVersionRequest,
  ModelServiceService,
  UpdateModelRequest,
} from '../../proto/gen/torus/v1/model_service.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { clientOf, methodsOf, type TypedClient } from '../../transport/definition.ts';
import { type Connection, connect } from '../../transport/grpcjs/client.ts';
import { pause } from '../support/redis-server.ts';
import { type CheckedModel, checkedOnnx } from './checked-model.ts';

const SERVICES = [ClusterServiceService, JobServiceService, ModelServiceService];
const METHODS = new Map(SERVICES.flatMap((service) => [...methodsOf(service)]));
const ASK_MS = 5_000;
const IMPORT_MS = 60_000;
const LOOK_MS = 50;
const MAX_MODEL_BYTES = 64 * 2 ** 20;

export interface AdminClients {
  readonly models: TypedClient<typeof ModelServiceService>;
  readonly jobs: TypedClient<typeof JobServiceService>;
  readonly cluster: TypedClient<typeof ClusterServiceService>;
}

export class Admin {
  readonly #connections: readonly Connection[];
  readonly #blobs: BlobStore;

  /** @param addresses of the admin listeners @param blobs is closed with it */
  constructor(addresses: readonly string[], blobs: BlobStore) {
    this.#connections = addresses.map((address) => connect({ address, methods: METHODS }));
    this.#blobs = blobs;
  }

  /** Those of one control process. */
  of(control: number): AdminClients {
    const backend = this.#connections[control];
    if (backend === undefined) throw new Error(`there is no control process ${control}`);
    return {
      models: clientOf(ModelServiceService, backend),
      jobs: clientOf(JobServiceService, backend),
      cluster: clientOf(ClusterServiceService, backend),
    };
  }

  /** The answer of the first control process that gives one. @throws what the last one said */
  async any<T>(ask: (clients: AdminClients) => Promise<T>): Promise<T> {
    let last: unknown;
    for (const control of this.#connections.keys()) {
      try {
        return await ask(this.of(control));
      } catch (thrown) {
        last = thrown;
      }
    }
    throw last;
  }

  status(): Promise<ClusterStatus> {
    return this.any(({ cluster }) => cluster.getClusterStatus({}, { timeoutMs: ASK_MS }));
  }

  /** Made, with its first version, which is promoted as soon as it is imported. */
  async publish(model: CheckedModel): Promise<void> {
    const policy = { minCopies: model.copies, maxCopies: model.copies };
    const request = CreateModelRequest.fromPartial({ modelId: model.name, model: { policy } });
    await this.any(({ models }) => models.createModel(request, { timeoutMs: ASK_MS }));
    await this.publishVersion(model, 1);
  }

  async publishVersion(model: CheckedModel, version: number): Promise<void> {
    await this.publishFile(model.name, version, checkedOnnx(model, version));
  }

  /** Imports these bytes as an ONNX model and promotes it. @throws when the import fails */
  async publishFile(model: string, version: number, bytes: Uint8Array): Promise<void> {
    const { sha256, sizeBytes } = await this.#blobs.write(inOnePiece(bytes), {
      maxBytes: MAX_MODEL_BYTES,
    });
    const files = [{ path: 'model.onnx', sha256, sizeBytes: BigInt(sizeBytes) }];
    const request = ImportModelVersionRequest.fromPartial({
      ...{ parent: `models/${model}`, files, version: BigInt(version), promote: true },
    });
    const job = await this.any(({ models }) =>
      models.importModelVersion(request, { timeoutMs: ASK_MS }),
    );
    await this.#untilImported(job);
  }

  /** Makes it the serving version. */
  async promote(model: string, version: number): Promise<void> {
    const request = UpdateModelRequest.fromPartial({
      model: { name: `models/${model}`, servingVersion: BigInt(version) },
      updateMask: ['serving_version'],
    });
    await this.any(({ models }) => models.updateModel(request, { timeoutMs: ASK_MS }));
  }

  async #untilImported({ name }: Job): Promise<void> {
    const endMs = performance.now() + IMPORT_MS;
    for (;;) {
      const job = await this.any(({ jobs }) => jobs.getJob({ name }, { timeoutMs: ASK_MS }));
      if (job.state === JobState.SUCCEEDED) return;
      const isOver = job.state === JobState.FAILED || job.state === JobState.CANCELLED;
      if (isOver || performance.now() > endMs) {
        throw new Error(`${name} is ${job.state}: ${job.error?.message ?? ''}`);
      }
      await pause(LOOK_MS);
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    await this.#blobs.close();
  }
}

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
