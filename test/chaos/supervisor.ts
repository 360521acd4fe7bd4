// Starts nodes again that have ended, as systemd or Kubernetes does, and counts their ends.
import { pause } from '../support/redis-server.ts';
import type { Member } from './member.ts';

const LOOK_MS = 50;
/** Behind each end. */
const RESTART_MS = 500;

export interface Supervisor {
  /** How often any of them has ended so far. */
  deaths(): number;
  /** Ids, in the order in which they ended. */
  readonly dead: readonly string[];
  end(): Promise<void>;
}

export function supervise(members: readonly Member[]): Supervisor {
  const dead: string[] = [];
  let isOver = false;
  const watch = async (member: Member): Promise<void> => {
    while (!isOver) {
      await pause(LOOK_MS);
      if (member.isUp) continue;
      dead.push(member.id);
      await pause(RESTART_MS);
      // One that ends before it is ready is seen as down, and started, the next time.
      await member.start().catch(() => undefined);
    }
  };
  const watching = Promise.all(members.map(watch));
  return {
    deaths: () => dead.length,
    dead,
    async end() {
      isOver = true;
      await watching;
    },
  };
}
