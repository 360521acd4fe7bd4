// The hint of what a new revision of a shard changes, as text on the channel of hints. It comes
// right before the hint of the shard, and older releases pass over it.
import { z } from 'zod';
import { ASSIGNMENT_SHARDS, type ShardStep } from '../registry.ts';

/** A longer one is not sent: so many nodes change that most have to read the shard. */
export const MAX_STEP_CHARACTERS = 16 * 1024;
const WORD = 'step ';

const count = z.number().int().min(0);
const stepSchema = z.tuple([
  count.max(ASSIGNMENT_SHARDS - 1),
  z.tuple([count, count]),
  z.tuple([count, count]),
  z.array(z.string()),
]);

/** '': it is too long. */
export function stepHint({ to, from, nodeIds }: ShardStep): string {
  const parts = [to.index, [from.epoch, from.revision], [to.epoch, to.revision], nodeIds];
  const text = `${WORD}${JSON.stringify(parts)}`;
  return text.length > MAX_STEP_CHARACTERS ? '' : text;
}

/** undefined: it is another hint, or none of ours. */
export function parseStep(text: string): ShardStep | undefined {
  if (!text.startsWith(WORD) || text.length > MAX_STEP_CHARACTERS) return undefined;
  try {
    const [index, from, to, nodeIds] = stepSchema.parse(JSON.parse(text.slice(WORD.length)));
    const revision = ([epoch, number]: readonly [number, number]) => {
      return { index, epoch, revision: number };
    };
    return { to: revision(to), from: revision(from), nodeIds };
  } catch {
    return undefined;
  }
}
