// What the threads of one node tell each other. One thread leads: it has the registry, the batchers
// of worker models and the word on what is served. Side threads run inline models too, each with a
// session of its own, and hand every other call over to the lead. All of this survives a structured
// clone.
import type { QueueTimeout } from '../../model/config/batching.ts';
import type { ModelStatistics } from '../../proto/gen/inference/grpc_service.ts';
import type { InlineEngine } from '../engines/load-beside.ts';
import type { ServedSignature } from '../infer/signature.ts';

/** An inline model, as a side thread loads it. */
export interface InlinePlan {
  /** Of the copy: model, version and content. */
  readonly key: string;
  readonly signature: ServedSignature;
  readonly queueTimeout: QueueTimeout;
  readonly engine: InlineEngine;
}

/** A version that takes calls now; without `key` it takes none any more. */
export interface ShownVersion {
  readonly model: string;
  readonly version: number;
  readonly weight: number | undefined;
  readonly key: string | undefined;
}

/** What a side thread does for the lead, for one node. */
export interface SideFunctions {
  /** @returns bytes that it takes; calls find it once it is shown. @throws as a load */
  load(plan: InlinePlan): Promise<number>;
  /** From now on its calls are handed over. Resolves when nothing of it is left. */
  unload(key: string): Promise<void>;
  show(changes: readonly ShownVersion[]): Promise<void>;
  /** Of everything that it ever ran. */
  statistics(): Promise<readonly ModelStatistics[]>;
}

/** What the lead does for side threads. */
export interface LeadFunctions {
  /** Most runs of an inline model are too slow for a thread that serves. */
  slow(key: string, reason: string): Promise<void>;
}

/** One port serves several nodes. */
export function functionName(node: string, name: keyof SideFunctions | keyof LeadFunctions) {
  return `${node}/${name}`;
}
