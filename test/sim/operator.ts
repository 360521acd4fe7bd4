// Who publishes models and versions while the cluster runs: through the catalog, like any other
// process. What it has done is the truth that answers are held against.
import { Catalog } from '../../catalog/catalog.ts';
import type { VersionDoc } from '../../catalog/documents.ts';
import { publishVersion, reserveVersion } from '../../catalog/publish.ts';
import { manifestOf } from './artifacts.ts';
import { DocumentsClient } from './documents-client.ts';
import type { Life } from './machine.ts';
import type { Random } from './random.ts';
import { RegistryClient } from './registry-client.ts';
import type { World } from './world.ts';

const CATALOG_TOPIC = 'catalog';

export class Operator {
  readonly #world: World;
  readonly #random: Random;
  readonly #catalog: Catalog;
  readonly #registry: RegistryClient;
  #contents = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    const life: Life = world.machine('operator').begin();
    this.#catalog = new Catalog(new DocumentsClient(world.documents, world.network, life));
    this.#registry = new RegistryClient(world.registry, world.network, life);
  }

  /** A model with its first version. */
  async make(name: string, copies: number, isIdempotent: boolean): Promise<void> {
    const sizeBytes = this.#random.int(500, 1_500);
    const [contents, served] = [new Map<number, number>(), new Set<number>()];
    const model = {
      ...{ name, isIdempotent, contents, served, serving: 0, sizeBytes, copies },
      copiesSinceMs: this.#world.nowMs(),
    };
    this.#world.models.set(name, model);
    await this.publish(name);
    await this.#catalog.update('model', name, (doc) => ({
      ...doc,
      policy: { ...doc.policy, minCopies: copies, maxCopies: copies, isIdempotent },
    }));
    this.#announce();
  }

  /** A new version, which is to serve from now on. */
  async publish(name: string): Promise<void> {
    const model = this.#world.models.get(name);
    if (model === undefined) return;
    const version = await reserveVersion(this.#catalog, { model: name, wanted: 0 }, 0);
    this.#contents += 1;
    const content = this.#contents;
    model.contents.set(version, content);
    // It may be there before its writer knows.
    model.served.add(version);
    this.#world.trace.note('operator', 'publishes', `${name}/${version}`);
    const doc: Omit<VersionDoc, 'schema' | 'createdMs'> = {
      ...{ model: name, version, state: 'READY', reason: '', manifestSha256: manifestOf(content) },
      ...{ platform: 'onnxruntime_onnx', inputs: [], outputs: [], sizeBytes: model.sizeBytes },
      ...{ metrics: {}, labels: {}, source: 'upload' },
    };
    await publishVersion(this.#catalog, { version: doc, promotes: true }, 0);
    model.serving = version;
    this.#announce();
  }

  async setCopies(name: string, copies: number): Promise<void> {
    this.#world.trace.note('operator', 'wants copies', `${name} ${copies}`);
    const model = this.#world.models.get(name);
    if (model !== undefined) {
      model.copies = copies;
      model.copiesSinceMs = this.#world.nowMs();
    }
    await this.#catalog.update('model', name, (doc) => ({
      ...doc,
      policy: { ...doc.policy, minCopies: copies, maxCopies: copies },
    }));
    this.#announce();
  }

  #announce(): void {
    this.#registry.announce(CATALOG_TOPIC).catch(() => {});
  }
}
