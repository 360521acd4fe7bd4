// When a version is to blame for the ends of its process. Pure: what a marker says, and what
// follows. A marker is armed while a version is loaded or run for the first time, which native code
// may not survive. Found armed at the next start, it counts one death; a load that ends well, or
// with an error of its own, clears it. So only deaths in a row count, and a model beside the guilty
// one is cleared as soon as it loads. A process that is killed in the middle of a load counts one
// too.

/** Deaths in a row that put a version into quarantine. */
export const MAX_DEATHS = 3;

export interface Marker {
  readonly model: string;
  readonly version: number;
  readonly deaths: number;
  readonly isArmed: boolean;
}

/** Event: a load begins. */
export function armed(model: string, version: number, found: Marker | undefined): Marker {
  return { model, version, deaths: found?.deaths ?? 0, isArmed: true };
}

/** Event: a process starts and finds the marker. */
export function foundAtStart(marker: Marker): Marker {
  return marker.isArmed ? { ...marker, deaths: marker.deaths + 1, isArmed: false } : marker;
}

/** Why the version is not loaded any more; undefined: it may be. */
export function quarantineReason(marker: Marker | undefined): string | undefined {
  if (marker === undefined || marker.deaths < MAX_DEATHS) return undefined;
  return (
    `model '${marker.model}' version ${marker.version} is in quarantine: ${marker.deaths} times ` +
    'in a row the process died while it was being loaded'
  );
}
