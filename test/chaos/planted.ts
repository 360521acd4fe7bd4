// Model versions that come into the catalog as an import writes them, but without the import: two
// hundred of them are there in a second, and one that no import would let through is as well.
import { Catalog } from '../../catalog/catalog.ts';
import { publishVersion, reserveVersion } from '../../catalog/publish.ts';
import { MANIFEST_SCHEMA, writeManifest } from '../../model/manifest.ts';
import type { BlobStore } from '../../stores/blobs/blobs.ts';
import { openDocuments } from '../../stores/documents/open.ts';
import { type CheckedModel, checkedOnnx } from './checked-model.ts';
import type { Surroundings } from './cluster.ts';
import { openSharedBlobs } from './shared-blobs.ts';

const PLATFORM = 'onnxruntime_onnx';
const MAX_MODEL_BYTES = 64 * 2 ** 20;

export interface Planted {
  readonly version: number;
  /** SHA-256 of its model.onnx, by which the store names it. */
  readonly file: string;
}

export interface Planting {
  /** The model's next version; the model is made with its copies where it is not there. */
  plant(model: CheckedModel, options?: PlantOptions): Promise<Planted>;
  close(): Promise<void>;
}

export interface PlantOptions {
  /** Default: a checked model's, which tells its version. */
  readonly onnx?: (version: number) => Uint8Array;
  readonly configPbtxt?: string;
  /** Makes it the serving version; leaders find it when they next look. Default false. */
  readonly promotes?: boolean;
}

export async function planting(surroundings: Surroundings): Promise<Planting> {
  const documents = await openDocuments(surroundings.catalog);
  const store = await openSharedBlobs(surroundings);
  const catalog = new Catalog(documents);
  return {
    plant: (model, options = {}) => plant(catalog, store, model, options),
    async close() {
      await store.close();
      await documents.close();
    },
  };
}

async function plant(
  catalog: Catalog,
  blobs: BlobStore,
  model: CheckedModel,
  { onnx = (version) => checkedOnnx(model, version), configPbtxt = '', promotes }: PlantOptions,
): Promise<Planted> {
  const { name, copies } = model;
  const dateMs = Date.now();
  const isKnown = (await catalog.get('model', name)) !== undefined;
  const version = await reserveVersion(catalog, { model: name, wanted: 0 }, dateMs);
  if (!isKnown) {
    await catalog.update('model', name, (doc) => {
      return { ...doc, policy: { ...doc.policy, minCopies: copies, maxCopies: copies } };
    });
  }
  const bytes = onnx(version);
  const options = { maxBytes: MAX_MODEL_BYTES };
  const { sha256, sizeBytes } = await blobs.write(inOnePiece(bytes), options);
  const inputs = [{ name: 'x', datatype: 'FP32' as const, shape: [-1, 1] }];
  const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [-1, 2] }];
  const manifest = await writeManifest(blobs, {
    ...{ schema: MANIFEST_SCHEMA, model: name, version, platform: PLATFORM },
    ...{ files: [{ path: 'model.onnx', sha256, sizeBytes }], configPbtxt, inputs, outputs },
  });
  await publishVersion(
    catalog,
    {
      version: {
        ...{ model: name, version, state: 'READY', reason: '', platform: PLATFORM, sizeBytes },
        ...{ manifestSha256: manifest.sha256, inputs, outputs },
        ...{ metrics: {}, labels: {}, source: 'upload' },
      },
      promotes: promotes === true,
    },
    dateMs,
  );
  return { version, file: sha256 };
}

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
