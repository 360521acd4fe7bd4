// Quarantine markers on disk: one small file for each version that is being loaded, or whose load a
// process did not survive. Named by hash, replaced by rename, synced before the load begins. A
// folder belongs to one node.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Code, StatusError } from '../../common/status.ts';
import { replaceDurably } from '../../stores/durable-files.ts';
import { armed, foundAtStart, type Marker, quarantineReason } from './deaths.ts';

const markerSchema = z.object({
  model: z.string(),
  version: z.number().int(),
  deaths: z.number().int().min(0),
  isArmed: z.boolean(),
});

const MARKER_NAME = /^[0-9a-f]{64}\.json$/;

/** What a load asks of it. */
export type Markers = Pick<Quarantine, 'reasonFor' | 'arm' | 'clear'>;

export class Quarantine {
  readonly #folder: string;
  readonly #markers = new Map<string, Marker>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Once at the start of a node, before anything is loaded: counts the deaths that the markers tell
   * of. Makes the folder. @throws UNAVAILABLE where it can't be read or written.
   */
  static async open(folder: string): Promise<Quarantine> {
    const quarantine = new Quarantine(folder);
    await told(folder, async () => {
      await mkdir(folder, { recursive: true });
      for (const name of await readdir(folder)) {
        const marker = MARKER_NAME.test(name) ? await readMarker(join(folder, name)) : undefined;
        if (marker === undefined) await rm(join(folder, name), { recursive: true, force: true });
        else await quarantine.#write(foundAtStart(marker));
      }
    });
    return quarantine;
  }

  /** Why this version must not be loaded; undefined: it may be. */
  reasonFor(model: string, version: number): string | undefined {
    return quarantineReason(this.#markers.get(nameOf(model, version)));
  }

  /** Before a load. On disk when it resolves. @throws UNAVAILABLE */
  async arm(model: string, version: number): Promise<void> {
    const marker = armed(model, version, this.#markers.get(nameOf(model, version)));
    await told(this.#folder, () => this.#write(marker));
  }

  /** After a load, well or not: the process lives. Also lifts a quarantine. @throws UNAVAILABLE */
  async clear(model: string, version: number): Promise<void> {
    const name = nameOf(model, version);
    if (!this.#markers.delete(name)) return;
    await told(this.#folder, () => rm(join(this.#folder, name), { force: true }));
  }

  async #write(marker: Marker): Promise<void> {
    const name = nameOf(marker.model, marker.version);
    await replaceDurably(join(this.#folder, name), JSON.stringify(marker));
    this.#markers.set(name, marker);
  }
}

function nameOf(model: string, version: number): string {
  return `${createHash('sha256').update(`${model}/${version}`).digest('hex')}.json`;
}

/** Undefined for what is no marker: only a disk fault makes one, and it names nobody. */
async function readMarker(path: string): Promise<Marker | undefined> {
  const text = await readFile(path, 'utf8');
  try {
    return markerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function told(folder: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new StatusError(Code.UNAVAILABLE, `quarantine markers in ${folder}: ${why}`, { cause });
  }
}
