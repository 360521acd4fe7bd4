// How much a plan moves, for metrics: what is moved has to be fetched and loaded anew.
import type { AssignmentEntry } from '../registry/registry.ts';

/** Nodes that entries have now and lack before, where as many left: not those that are more. */
export function movedCopies(
  previous: readonly AssignmentEntry[],
  entries: readonly AssignmentEntry[],
): number {
  const before = new Set(previous);
  const changed = entries.filter((entry) => !before.has(entry));
  if (changed.length === 0) return 0;
  const models = new Set(changed.map(({ model }) => model));
  const nameOf = ({ model, version }: AssignmentEntry): string => `${model}/${version}`;
  const touched = previous.filter(({ model }) => models.has(model));
  const known = new Map(touched.map((entry) => [nameOf(entry), entry]));
  let moved = 0;
  for (const entry of changed) {
    const old = known.get(nameOf(entry));
    if (old === undefined) continue;
    const came = entry.nodes.filter((id) => !old.nodes.includes(id)).length;
    const left = old.nodes.filter((id) => !entry.nodes.includes(id)).length;
    moved += Math.min(came, left);
  }
  return moved;
}
