// What stands in Redis as JSON, and reading it back: a value is checked before it is believed, for
// any program may write there. One of a newer schema is left aside and told; one that is no such
// thing is an error that names its key.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Code, StatusError } from '../../common/status.ts';
import {
  ASSIGNMENT_SHARDS,
  type AssignmentShard,
  type CopyRecord,
  MAX_LOADS_OF_NODE,
  MAX_TRAFFIC_RANK,
  type ModelLoad,
  type NodeRecord,
  REGISTRY_SCHEMA,
} from '../registry.ts';
import { corrupt } from './redis-errors.ts';

/** A node's record: addresses and names. */
export const MAX_RECORD_BYTES = 16 * 1024;
/** What one node says of its copies: room for 50,000. */
export const MAX_COPIES_BYTES = 8 * 1024 * 1024;
export const MAX_COPIES_OF_NODE = 50_000;
/** What one node says of its load. */
export const MAX_LOADS_BYTES = 96 * 1024;
/** One shard: room for 8 million models in all, if they are on a few nodes each. */
export const MAX_SHARD_BYTES = 16 * 1024 * 1024;
export const MAX_ENTRIES_OF_SHARD = 50_000;
/** Ids, incarnations, names of leases, owners and topics. */
export const MAX_NAME_BYTES = 512;

const count = z.number().int().min(0);
const name = z.string().min(1).max(MAX_NAME_BYTES);

export const nodeSchema = z.object({
  schema: count,
  id: name,
  incarnation: z.string(),
  address: z.string(),
  state: z.enum(['SERVING', 'DRAINING']),
  zone: z.string(),
  memoryLimitBytes: z.number().min(0),
});

export const copySchema = z.object({
  model: z.string(),
  version: count,
  manifestSha256: z.string(),
  state: z.enum(['LOADING', 'READY', 'UNLOADING', 'FAILED', 'QUARANTINED']),
  reason: z.string(),
  memoryBytes: z.number().min(0),
  deaths: count.exactOptional(),
});

const copiesSchema = z.object({
  schema: count,
  copies: z.array(copySchema).max(MAX_COPIES_OF_NODE),
});

const loadsSchema = z.object({
  schema: count,
  loads: z
    .array(
      z.object({
        model: z.string(),
        version: count,
        callsPerSecond: z.number().min(0),
        serviceMs: z.number().min(0),
        queued: count,
      }),
    )
    .max(MAX_LOADS_OF_NODE),
});

const entrySchema = z.object({
  model: z.string(),
  version: count,
  manifestSha256: z.string(),
  nodes: z.array(z.string()),
  weight: z.number().min(0).max(1),
  reason: z.string(),
  isIdempotent: z.boolean(),
  isHedged: z.boolean().optional(),
  isOnDemand: z.boolean().exactOptional(),
  costBytes: z.number().min(0).exactOptional(),
  trafficRank: z.number().int().min(0).max(MAX_TRAFFIC_RANK).exactOptional(),
  deaths: count.exactOptional(),
});

export const shardSchema = z.object({
  schema: count,
  index: count.max(ASSIGNMENT_SHARDS - 1),
  epoch: count,
  revision: count,
  entries: z.array(entrySchema).max(MAX_ENTRIES_OF_SHARD),
});

/** Where a value stands, for messages. */
export interface Place {
  readonly key: string;
  readonly field: string;
}

/** Read right; or of a schema that this program does not know, and why it is left aside. */
export type Read<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'refused'; readonly reason: string };

/** @throws DATA_LOSS naming the place */
function read<T>(type: z.ZodType<T>, text: string, place: Place): Read<T> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw corrupt([place.key], `what stands at '${shown(place.field)}' is not JSON`);
  }
  const schema = body instanceof Object && 'schema' in body ? body.schema : undefined;
  if (typeof schema === 'number' && schema > REGISTRY_SCHEMA) {
    const reason =
      `'${shown(place.field)}' in '${place.key}' has schema ${schema}, this program reads up to ` +
      `${REGISTRY_SCHEMA}: a newer Torus has written it, run that one or a newer one`;
    return { kind: 'refused', reason };
  }
  const parsed = type.safeParse(body);
  if (parsed.success) return { kind: 'value', value: parsed.data };
  const [issue] = parsed.error.issues;
  const at = issue === undefined ? '' : ` at ${issue.path.join('.')}: ${issue.message}`;
  throw corrupt([place.key], `what stands at '${shown(place.field)}' is not valid${at}`);
}

function shown(text: string): string {
  return text.slice(0, 64);
}

export function readNode(text: string, place: Place): Read<NodeRecord> {
  const node = read(nodeSchema, text, place);
  if (node.kind === 'value' && node.value.id !== place.field) {
    throw corrupt([place.key], `what stands at '${shown(place.field)}' is another node's`);
  }
  return node;
}

export function readCopies(text: string, place: Place): Read<readonly CopyRecord[]> {
  const copies = read(copiesSchema, text, place);
  return copies.kind === 'value' ? { kind: 'value', value: copies.value.copies } : copies;
}

export function readLoads(text: string, place: Place): Read<readonly ModelLoad[]> {
  const loads = read(loadsSchema, text, place);
  return loads.kind === 'value' ? { kind: 'value', value: loads.value.loads } : loads;
}

export function readShard(text: string, place: Place): Read<AssignmentShard> {
  const shard = read(shardSchema, text, place);
  if (shard.kind === 'value' && String(shard.value.index) !== place.field) {
    throw corrupt([place.key], `what stands at '${shown(place.field)}' is another shard`);
  }
  return shard;
}

export function encodeNode(node: NodeRecord): string {
  return bounded(`node '${shown(node.id)}'`, JSON.stringify(node), MAX_RECORD_BYTES);
}

export function encodeLoads(nodeId: string, loads: readonly ModelLoad[]): string {
  const text = JSON.stringify({ schema: REGISTRY_SCHEMA, loads });
  return bounded(`the loads of node '${shown(nodeId)}'`, text, MAX_LOADS_BYTES);
}

export interface EncodedCopies {
  readonly text: string;
  /** The same for the same copies: readers fetch only those that changed. */
  readonly stamp: string;
}

export function encodeCopies(nodeId: string, copies: readonly CopyRecord[]): EncodedCopies {
  const what = `the copies of node '${shown(nodeId)}'`;
  if (copies.length > MAX_COPIES_OF_NODE) throw tooMuch(what, `${copies.length} copies`);
  const text = JSON.stringify({ schema: REGISTRY_SCHEMA, copies });
  bounded(what, text, MAX_COPIES_BYTES);
  return { text, stamp: createHash('sha256').update(text).digest('base64url') };
}

export function encodeShard(shard: AssignmentShard): string {
  const what = `shard ${shard.index} of the assignment`;
  const { length } = shard.entries;
  if (length > MAX_ENTRIES_OF_SHARD) throw tooMuch(what, `${length} entries`);
  return bounded(what, JSON.stringify(shard), MAX_SHARD_BYTES);
}

function bounded(what: string, text: string, maxBytes: number): string {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) throw tooMuch(what, `${bytes} bytes`);
  return text;
}

function tooMuch(what: string, size: string): StatusError {
  return new StatusError(Code.RESOURCE_EXHAUSTED, `${what} is too much for a registry: ${size}`);
}

/** @throws INVALID_ARGUMENT */
export function checkText(what: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes > 0 && bytes <= MAX_NAME_BYTES) return;
  throw new StatusError(
    Code.INVALID_ARGUMENT,
    `${what} must have 1 to ${MAX_NAME_BYTES} bytes, not ${bytes}`,
  );
}
