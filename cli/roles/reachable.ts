// Whether the stores that a role works with answer. Asked now and then, so that /readyz and /livez
// never wait for them; a role without them lives, and is only not ready.
import type { Clock } from '../../common/clock.ts';
import { statusOf } from '../../common/status.ts';

export const LOOK_MS = 2_000;

export interface Reachable {
  /** What did not answer last, and why. */
  waitingFor(): readonly string[];
  stop(): void;
}

/** @param asks by name: each throws while its store is away */
export function watchReachable(
  clock: Clock,
  asks: Readonly<Record<string, () => Promise<unknown>>>,
): Reachable {
  const waiting = new Map(Object.keys(asks).map((name) => [name, 'not asked yet']));
  const cancels = new Map<string, () => void>();
  let isStopped = false;
  const look = async (name: string, ask: () => Promise<unknown>): Promise<void> => {
    try {
      await ask();
      waiting.delete(name);
    } catch (thrown) {
      waiting.set(name, statusOf(thrown).message);
    }
    if (!isStopped)
      cancels.set(
        name,
        clock.after(LOOK_MS, () => void look(name, ask)),
      );
  };
  for (const [name, ask] of Object.entries(asks)) void look(name, ask);
  return {
    waitingFor: () => [...waiting].map(([name, why]) => `${name}: ${why}`),
    stop() {
      isStopped = true;
      for (const cancel of cancels.values()) cancel();
    },
  };
}
