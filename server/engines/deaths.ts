// When a version is to blame for the ends of its process. Pure: what a marker says, and what
// follows. A marker is armed while a version is loaded or run for the first time, which native code
// may not survive. Found armed at the next start, it counts one death. A first run that is survived
// clears it, and so does a load that ends with an error of its own. So only deaths in a row count,
// and a model beside the guilty one is cleared as soon as it has served. A process that is killed
// in the middle of a load counts one too; what lies DEATH_MEMORY_MS back is forgotten.
import { MAX_DEATHS } from '../../registry/registry.ts';

/**
 * Longer ago, a death that nothing followed was most likely nobody's fault: a version that kills
 * does so each time.
 */
export const DEATH_MEMORY_MS = 60 * 60 * 1_000;

export interface Marker {
  readonly model: string;
  readonly version: number;
  /** '' where versions have none. Another content's deaths are not this one's. */
  readonly manifestSha256: string;
  readonly deaths: number;
  readonly isArmed: boolean;
  /** The date of the last death; 0: none. */
  readonly diedMs: number;
}

/** Which content of which version. */
export type Suspect = Pick<Marker, 'model' | 'version' | 'manifestSha256'>;

/** Event: a load or a first run begins. */
export function armed(suspect: Suspect, found: Marker | undefined): Marker {
  const { model, version, manifestSha256 } = suspect;
  const isSame = found?.manifestSha256 === manifestSha256;
  const { deaths, diedMs } = isSame ? found : { deaths: 0, diedMs: 0 };
  return { model, version, manifestSha256, deaths, isArmed: true, diedMs };
}

/** Event: the load ended well; its first run is still to come. Undefined: nothing to remember. */
export function disarmed(marker: Marker): Marker | undefined {
  return marker.deaths === 0 ? undefined : { ...marker, isArmed: false };
}

/** Event: a process starts and finds the marker. Undefined: it may be forgotten. */
export function foundAtStart(marker: Marker, dateMs: number): Marker | undefined {
  if (marker.isArmed) {
    return { ...marker, deaths: marker.deaths + 1, isArmed: false, diedMs: dateMs };
  }
  return dateMs - marker.diedMs > DEATH_MEMORY_MS ? undefined : marker;
}

/** Why the version is not loaded any more; undefined: it may be. */
export function quarantineReason(marker: Marker | undefined): string | undefined {
  if (marker === undefined || marker.deaths < MAX_DEATHS) return undefined;
  return (
    `model '${marker.model}' version ${marker.version} is in quarantine: ${marker.deaths} times ` +
    'in a row the process died while it was being loaded or first run'
  );
}

/** Why it is not loaded now, before that is so. */
export function deathReason({ deaths }: Marker): string {
  return `the process ended ${deaths} times in a row while it was being loaded or first run`;
}
