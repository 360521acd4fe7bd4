// The request parameters that the protocol gives a meaning. Those that it does not name are a
// model's own affair and pass unread.
import { invalidArgument, notFound, type StatusError } from '../../common/status.ts';
import { NO_PARAMETERS, type Parameter, type Parameters } from './request.ts';

const RESERVED_PREFIX = 'triton_';
const ALLOWED_RESERVED = ['triton_enable_empty_final_response'];

const KINDS: ReadonlyMap<string, readonly Parameter['kind'][]> = new Map([
  ['sequence_id', ['int64', 'string']],
  ['sequence_start', ['bool']],
  ['sequence_end', ['bool']],
  ['priority', ['int64', 'uint64']],
  ['timeout', ['int64']],
  ['binary_data_output', ['bool']],
  ['triton_enable_empty_final_response', ['bool']],
]);

function wrongKind(key: string, kinds: readonly string[]): StatusError {
  const expected = kinds.map((kind) => `${kind}_param`).join(' or ');
  return invalidArgument(`invalid value type for '${key}' parameter, expected ${expected}.`);
}

export interface RequestTiming {
  /** How long the request may wait in the queue, in microseconds; 0 is no limit of its own. */
  readonly timeoutUs: number;
}

const NO_TIMING: RequestTiming = { timeoutUs: 0 };

/** @throws INVALID_ARGUMENT for a reserved key, or a value of the wrong type or out of range. */
export function checkParameters(parameters: Parameters): RequestTiming {
  if (parameters === NO_PARAMETERS) return NO_TIMING;
  let timeoutUs = 0;
  for (const [key, { kind, value }] of parameters) {
    if (key.startsWith(RESERVED_PREFIX) && !ALLOWED_RESERVED.includes(key)) {
      throw invalidArgument(
        `parameter keys starting with '${RESERVED_PREFIX}' are reserved for Triton usage. Only ` +
          `the following keys starting with '${RESERVED_PREFIX}' are allowed: ` +
          ALLOWED_RESERVED.join(', '),
      );
    }
    const kinds = KINDS.get(key);
    if (kinds !== undefined && !kinds.includes(kind)) throw wrongKind(key, kinds);
    if (typeof value === 'bigint' && value < 0n && (key === 'priority' || key === 'timeout')) {
      throw invalidArgument(`invalid value for '${key}', expected value >= 0.`);
    }
    if (key === 'timeout') timeoutUs = Number(value);
  }
  return { timeoutUs };
}

/** Classes asked of an output: int64 `classification`; 0 when its plain values are wanted. */
export function classCountOf(parameters: Parameters): number {
  const asked = parameters.get('classification');
  if (asked === undefined) return 0;
  if (asked.kind !== 'int64') throw wrongKind('classification', ['int64']);
  if (asked.value < 0n) {
    throw invalidArgument("invalid value for 'classification', expected value >= 0.");
  }
  return Number(asked.value);
}

/** No region can be registered here, so whatever is named is unknown. */
export function refuseSharedMemory(parameters: Parameters): void {
  const region = parameters.get('shared_memory_region');
  if (region === undefined) return;
  throw notFound(
    `Unable to find shared memory region: '${String(region.value)}' (this server keeps none; ` +
      'send the data in the request)',
  );
}
