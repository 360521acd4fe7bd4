// torus status --watch: the cluster each second, with what only shows over time. Each look stands
// for itself: one that fails is told, and the next one is made all the same.
import { createRing } from '../../control/ring.ts';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import type { CommandContext } from './context.ts';
import { type ClusterLoad, statusLines } from './status.ts';

const LOOK_MS = 1_000;
/** Names that are looked up to see which part of all models each node is the home of. */
const SAMPLES = 4_096;
/** Cursor to the corner, and the rest of the screen empty. */
const REDRAW = '\x1b[H\x1b[J';

/** The part of all possible models that each node is the first candidate of, 0 to 1. */
export function ringShares(nodeIds: readonly string[]): ReadonlyMap<string, number> {
  const ring = createRing(nodeIds);
  const shares = new Map(nodeIds.map((id) => [id, 0]));
  for (let at = 0; at < SAMPLES; at += 1) {
    const home = ring.candidates(`model-${at}`)[0];
    if (home !== undefined) shares.set(home, (shares.get(home) ?? 0) + 1 / SAMPLES);
  }
  return shares;
}

/** Calls answered with success by 'model/version', of what GET /v2/models/stats answers. */
export function successes(answer: unknown): ReadonlyMap<string, number> {
  const { model_stats: all } = (answer ?? {}) as { model_stats?: unknown };
  const found = new Map<string, number>();
  for (const one of Array.isArray(all) ? all : []) {
    const { name, version, inference_stats: stats } = one as Record<string, unknown>;
    const count = Number((stats as { success?: { count?: unknown } } | undefined)?.success?.count);
    if (Number.isFinite(count)) found.set(`${String(name)}/${String(version)}`, count);
  }
  return found;
}

/**
 * Calls a second between two looks; a model that was not there at the first has none yet. Counts
 * that went back (a node that held them has gone) are none either.
 */
export function ratesBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  elapsedMs: number,
): ReadonlyMap<string, number> {
  const rates = new Map<string, number>();
  for (const [key, count] of after) {
    const since = before.get(key);
    if (since === undefined || elapsedMs <= 0) continue;
    rates.set(key, (Math.max(0, count - since) / elapsedMs) * 1_000);
  }
  return rates;
}

interface Look {
  readonly atMs: number;
  readonly counts: ReadonlyMap<string, number>;
}

/** Until it is interrupted. @param nowMs of a clock that never goes back */
export async function watchStatus(context: CommandContext, nowMs: () => number): Promise<void> {
  const { output, signal } = context;
  const isScreen = process.stdout.isTTY === true && !output.isJson;
  let last: Look | undefined;
  let known: { ids: string; shares: ReadonlyMap<string, number> } | undefined;
  while (!signal.aborted) {
    try {
      const status = ClusterStatus.fromJSON(await context.client.call('GET', '/api/v1/cluster'));
      const look = await countCalls(context, nowMs);
      const ids = status.nodes.filter(({ state }) => state === 'NODE_STATE_SERVING').map(idOf);
      if (known?.ids !== ids.join()) known = { ids: ids.join(), shares: ringShares(ids) };
      const callsPerSecond =
        last === undefined
          ? new Map<string, number>()
          : ratesBetween(last.counts, look.counts, look.atMs - last.atMs);
      last = look;
      const load: ClusterLoad = { ringShares: known.shares, callsPerSecond };
      if (isScreen) process.stdout.write(REDRAW);
      const json = {
        ...(ClusterStatus.toJSON(status) as object),
        ringShares: Object.fromEntries(known.shares),
        callsPerSecond: Object.fromEntries(callsPerSecond),
      };
      output.result(json, [...statusLines(status, load), ...(isScreen ? [] : [''])]);
    } catch (thrown) {
      if (signal.aborted) return;
      output.error(thrown);
    }
    await pause(LOOK_MS, signal);
  }
}

function idOf({ id }: { readonly id: string }): string {
  return id;
}

/** Without a router there are no counts, and the rest is shown all the same. */
async function countCalls({ client }: CommandContext, nowMs: () => number): Promise<Look> {
  const answer = await client.call('GET', '/v2/models/stats').catch(() => undefined);
  return { atMs: nowMs(), counts: successes(answer) };
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
