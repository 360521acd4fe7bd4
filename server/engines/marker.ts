// Quarantine markers on disk: one small file for each version that is being loaded or first run, or
// that a process did not survive. Named by hash; before a load replaced by rename, and synced. A
// folder belongs to one node.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Code, StatusError } from '../../common/status.ts';
import { replaceDurably } from '../../stores/durable-files.ts';
import {
  armed,
  disarmed,
  foundAtStart,
  type Marker,
  quarantineReason,
  type Suspect,
} from './deaths.ts';

const markerSchema = z.object({
  model: z.string(),
  version: z.number().int(),
  manifestSha256: z.string().default(''),
  deaths: z.number().int().min(0),
  isArmed: z.boolean(),
  diedMs: z.number().default(0),
});

const MARKER_NAME = /^[0-9a-f]{64}\.json$/;

/** What a load asks of it. */
export type Markers = Pick<
  Quarantine,
  'reasonFor' | 'arm' | 'armNow' | 'disarm' | 'clear' | 'deaths'
>;

/** Whose load it is, told by who knows the content; the engine knows model and version only. */
export function markersOf(markers: Markers, manifestSha256: string): Markers {
  return {
    reasonFor: (model, version) => markers.reasonFor(model, version, manifestSha256),
    arm: (model, version) => markers.arm(model, version, manifestSha256),
    armNow: (model, version) => markers.armNow(model, version, manifestSha256),
    disarm: (model, version) => markers.disarm(model, version),
    clear: (model, version) => markers.clear(model, version),
    deaths: () => markers.deaths(),
  };
}

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
  static async open(folder: string, dateMs: () => number = Date.now): Promise<Quarantine> {
    const quarantine = new Quarantine(folder);
    await told(folder, async () => {
      await mkdir(folder, { recursive: true });
      for (const name of await readdir(folder)) {
        const found = MARKER_NAME.test(name) ? await readMarker(join(folder, name)) : undefined;
        const marker = found && foundAtStart(found, dateMs());
        if (marker === undefined) await rm(join(folder, name), { recursive: true, force: true });
        else await quarantine.#write(marker);
      }
    });
    return quarantine;
  }

  /** Why this version must not be loaded; undefined: it may be. */
  reasonFor(model: string, version: number, manifestSha256 = ''): string | undefined {
    const marker = this.#markers.get(nameOf(model, version));
    return marker?.manifestSha256 === manifestSha256 ? quarantineReason(marker) : undefined;
  }

  /** Before a load. On disk when it resolves. @throws UNAVAILABLE */
  async arm(model: string, version: number, manifestSha256 = ''): Promise<void> {
    const marker = this.#armed({ model, version, manifestSha256 });
    await told(this.#folder, () => this.#write(marker));
  }

  /**
   * Before a first run, for which nobody is to wait: the end of the process does not lose what the
   * system was given to write, only a power cut does. @throws what the disk says
   */
  armNow(model: string, version: number, manifestSha256 = ''): void {
    const marker = this.#armed({ model, version, manifestSha256 });
    const name = nameOf(model, version);
    writeFileSync(join(this.#folder, name), JSON.stringify(marker));
    this.#markers.set(name, marker);
  }

  #armed(suspect: Suspect): Marker {
    return armed(suspect, this.#markers.get(nameOf(suspect.model, suspect.version)));
  }

  /** After a load that ended well: what was before counts until a run is survived. */
  async disarm(model: string, version: number): Promise<void> {
    const marker = this.#markers.get(nameOf(model, version));
    const left = marker && disarmed(marker);
    if (left === undefined) await this.clear(model, version);
    else await told(this.#folder, () => this.#write(left));
  }

  /** Of what a process of this node did not survive, as far as it is to be remembered. */
  deaths(): readonly Marker[] {
    return [...this.#markers.values()].filter(({ deaths }) => deaths > 0);
  }

  /**
   * After a load that failed, or a first run: the process lives. Also lifts a quarantine.
   * @throws UNAVAILABLE
   */
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
