// The first run of a model after its load: native code that does not survive it is found by the
// marker that lies on disk meanwhile.
import type { Markers } from './marker.ts';

export interface FirstRun {
  begins(): void;
  ends(): void;
}

export interface FirstRunOptions {
  readonly model: string;
  readonly version: number;
  readonly quarantine?: Pick<Markers, 'armNow' | 'clear'>;
}

export function firstRun({ model, version, quarantine }: FirstRunOptions): FirstRun {
  return {
    begins() {
      try {
        quarantine?.armNow(model, version);
      } catch {
        // A full disk is no reason not to serve: this run goes without.
      }
    },
    // What can't be removed now is by the next load that comes to its end.
    ends: () => void quarantine?.clear(model, version).catch(() => {}),
  };
}
