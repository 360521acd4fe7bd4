// The policy under which a model is placed and called, from `parameters` of its configuration whose
// names start with torus_: Triton lets any parameters be, so such a config works there too.
import { invalidArgument } from '../../common/status.ts';
import type { ModelConfig } from '../../proto/gen/inference/model_config.ts';

export const MAX_COPIES = 1_000;
const MAX_MS_CEILING = 24 * 3_600_000;

/** Where a model runs: on the thread that serves, in threads of its own, or as measured. */
export const EXECUTIONS = ['auto', 'inline', 'worker'] as const;
export type Execution = (typeof EXECUTIONS)[number];

/** What is stated; the rest is the catalog's default, or what the model had. */
export interface StatedPolicy {
  readonly minCopies?: number;
  readonly maxCopies?: number;
  readonly isIdempotent?: boolean;
  readonly allowsHedging?: boolean;
  readonly spreadsZones?: boolean;
  /** A run that takes longer marks the copy FAILED. */
  readonly maxRunMs?: number;
  /** A load that takes longer fails. */
  readonly maxLoadMs?: number;
  readonly execution?: Execution;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

type Reader = (policy: Writable<StatedPolicy>, name: string, text: string) => void;

const READERS: Readonly<Record<string, Reader>> = {
  torus_min_copies: (policy, name, text) => {
    policy.minCopies = integer(name, text, 0, MAX_COPIES);
  },
  torus_max_copies: (policy, name, text) => {
    policy.maxCopies = integer(name, text, 1, MAX_COPIES);
  },
  torus_idempotent: (policy, name, text) => {
    policy.isIdempotent = boolean(name, text);
  },
  torus_hedging: (policy, name, text) => {
    policy.allowsHedging = boolean(name, text);
  },
  torus_zone_spread: (policy, name, text) => {
    policy.spreadsZones = boolean(name, text);
  },
  torus_max_run_ms: (policy, name, text) => {
    policy.maxRunMs = integer(name, text, 1, MAX_MS_CEILING);
  },
  torus_max_load_ms: (policy, name, text) => {
    policy.maxLoadMs = integer(name, text, 1, MAX_MS_CEILING);
  },
  torus_execution: (policy, name, text) => {
    const execution = EXECUTIONS.find((known) => known === text);
    if (execution === undefined) {
      throw invalidArgument(
        `parameter '${name}' must be ${EXECUTIONS.join(', ')}, not ${shown(text)}`,
      );
    }
    policy.execution = execution;
  },
};

/** @throws INVALID_ARGUMENT for a torus_ parameter that does not exist or has no valid value. */
export function policyOf(config: Pick<ModelConfig, 'parameters'>): StatedPolicy {
  const policy: Writable<StatedPolicy> = {};
  for (const [name, { stringValue }] of config.parameters) {
    if (!name.startsWith('torus_')) continue;
    const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
    if (read === undefined) {
      const known = Object.keys(READERS).join(', ');
      throw invalidArgument(`config.pbtxt has parameter '${name}', only these exist: ${known}`);
    }
    read(policy, name, stringValue.trim());
  }
  const { minCopies = 0, maxCopies = MAX_COPIES, allowsHedging, isIdempotent } = policy;
  if (minCopies > maxCopies) {
    throw invalidArgument(
      `torus_min_copies ${minCopies} is more than torus_max_copies ${maxCopies}`,
    );
  }
  if (allowsHedging === true && isIdempotent === false) {
    throw invalidArgument('torus_hedging sends calls twice, which torus_idempotent: false forbids');
  }
  return policy;
}

function integer(name: string, text: string, min: number, max: number): number {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalidArgument(
    `parameter '${name}' must be a whole number from ${min} to ${max}, not ${shown(text)}`,
  );
}

function boolean(name: string, text: string): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw invalidArgument(`parameter '${name}' must be true or false, not ${shown(text)}`);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
