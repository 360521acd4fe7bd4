// The routes that a router last knew, in a file of its data folder: one that starts while the
// registry is away routes by them. What the registry then says comes after them.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import { statusOf } from '../common/status.ts';
import { copySchema, nodeSchema, shardSchema } from '../registry/redis/records.ts';
import { ASSIGNMENT_SHARDS, REGISTRY_SCHEMA } from '../registry/registry.ts';
import { diskError, errnoOf } from '../stores/disk-error.ts';
import { replaceDurably } from '../stores/durable-files.ts';
import type { RouteTable } from './route-table.ts';

/** A change is written so soon after; what changes meanwhile is written with it. */
export const SAVE_AFTER_MS = 1_000;
/** Writing costs time on the router's thread: it is done so often at most. */
export const SAVE_PAUSE_MS = 10_000;
/** Their copies are put into JSON together. */
const NODES_A_PART = 25;

const routesSchema = z.object({
  shards: z.array(shardSchema).max(ASSIGNMENT_SHARDS),
  nodes: z.array(nodeSchema),
  copies: z.array(z.tuple([z.string(), z.array(copySchema)])),
});
const fileSchema = z.object({ sha256: z.string(), routes: z.string() });

/** The routes as JSON, in parts of which each takes the thread no longer than a batch of calls. */
function* routeParts(table: RouteTable): Iterable<string> {
  yield '{"shards":[';
  let isFirst = true;
  for (let index = 0; index < ASSIGNMENT_SHARDS; index += 1) {
    const shard = table.shard(index);
    if (shard === undefined) continue;
    yield `${isFirst ? '' : ','}${JSON.stringify(shard)}`;
    isFirst = false;
  }
  const nodes = [...table.nodes()];
  yield `],"nodes":${JSON.stringify(nodes)},"copies":[`;
  for (let at = 0; at < nodes.length; at += NODES_A_PART) {
    const part = nodes.slice(at, at + NODES_A_PART).map(({ id }) => id);
    const copies = JSON.stringify([...table.copiesOf(part)]);
    yield `${at === 0 ? '' : ','}${copies.slice(1, -1)}`;
  }
  yield ']}';
}

/** What restoreRoutes reads. The hash comes last, when all of it is known. */
function* fileParts(table: RouteTable): Iterable<string> {
  const hash = createHash('sha256');
  yield '{"routes":"';
  for (const part of routeParts(table)) {
    hash.update(part);
    yield JSON.stringify(part).slice(1, -1);
  }
  yield `","sha256":"${hash.digest('hex')}"}`;
}

/** Of the table as it stands, to be read by restoreRoutes. */
export function encodeRoutes(table: RouteTable): string {
  return [...fileParts(table)].join('');
}

/**
 * Puts into a table what encodeRoutes gave; false for anything else, which changes nothing: an
 * epoch with one bit more would be obeyed for ever.
 */
export function restoreRoutes(table: RouteTable, text: string): boolean {
  try {
    const { sha256, routes } = fileSchema.parse(JSON.parse(text));
    if (sha256 !== sha256Of(routes)) return false;
    const { shards, nodes, copies } = routesSchema.parse(JSON.parse(routes));
    if ([...shards, ...nodes].some(({ schema }) => schema > REGISTRY_SCHEMA)) return false;
    table.addShards(shards);
    table.setNodes(nodes, new Map(copies));
    return true;
  } catch {
    return false;
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export interface RouteFileOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Replaces a file, whole and for good. Default: on this machine's disk. */
  readonly write?: (path: string, parts: AsyncIterable<string>) => Promise<void>;
  /** Lets calls go on between two parts. */
  readonly pause: () => Promise<unknown>;
}

export class RouteFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #replace: (path: string, parts: AsyncIterable<string>) => Promise<void>;
  readonly #pause: () => Promise<unknown>;
  readonly #last: string | undefined;
  #cancel: (() => void) | undefined;
  #table: RouteTable | undefined;
  #isWriting = false;
  #writing: Promise<void> = Promise.resolve();
  /** What was last written: a table, and its count of changes then. */
  #written: { readonly table: RouteTable; readonly changes: number } | undefined;
  #nextMs = 0;

  /** @param last what the file held when it was opened */
  constructor(
    path: string,
    { clock, log, write = replaceDurably, pause }: Omit<RouteFileOptions, 'folder'>,
    last: string | undefined,
  ) {
    this.#path = path;
    this.#replace = write;
    this.#pause = pause;
    this.#clock = clock;
    this.#log = log;
    this.#last = last;
  }

  /** Whether there were routes of an earlier run, which are in the table now. */
  restore(table: RouteTable): boolean {
    if (this.#last === undefined) return false;
    const isRestored = restoreRoutes(table, this.#last);
    if (!isRestored)
      this.#log.warn('the routes kept on disk are not readable: they are left aside');
    return isRestored;
  }

  /** To be called when the table may have changed. */
  changed(table: RouteTable): void {
    this.#table = table;
    if (this.#cancel !== undefined || this.#isWriting) return;
    const delayMs = Math.max(SAVE_AFTER_MS, this.#nextMs - this.#clock.nowMs());
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = undefined;
      this.#writing = this.#write();
    });
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#stopWaiting();
    await this.#writing;
    await this.#write();
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A change between two parts is in both or in the later one only: it is written again then. */
  async *#parts(table: RouteTable): AsyncIterable<string> {
    for (const part of fileParts(table)) {
      yield part;
      await this.#pause();
    }
  }

  /** Never throws: a full disk must not end a router. */
  async #write(): Promise<void> {
    const table = this.#table;
    if (table === undefined) return;
    this.#table = undefined;
    this.#isWriting = true;
    try {
      const { changes } = table;
      const isSame = this.#written?.table === table && this.#written.changes === changes;
      if (!isSame) await this.#replace(this.#path, this.#parts(table));
      this.#written = { table, changes };
    } catch (thrown) {
      const { message } = statusOf(thrown);
      this.#log.warn({ reason: message }, 'the routes could not be kept on disk');
    }
    this.#isWriting = false;
    this.#nextMs = this.#clock.nowMs() + SAVE_PAUSE_MS;
    if (this.#table !== undefined) this.changed(this.#table);
  }
}

/** @throws what the disk says, but for a file that is not there */
export async function openRouteFile(options: RouteFileOptions): Promise<RouteFile> {
  const path = join(options.folder, 'routes.json');
  try {
    return new RouteFile(path, options, await readFile(path, 'utf8'));
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return new RouteFile(path, options, undefined);
    throw diskError(cause, 'read the last routes', path);
  }
}
