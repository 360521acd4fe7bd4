// Parameters of requests and tensors: plain JSON values on one side, typed ones on the other.
import { invalidArgument } from '../../common/status.ts';
import type { InferParameter } from '../../proto/gen/inference/grpc_service.ts';
import { type RawJson, rawJson } from '../exact-json.ts';

export type Parameters = Map<string, InferParameter>;

const INT64_HIGH = 2n ** 63n - 1n;
const INT64_LOW = -(2n ** 63n);
const UINT64_HIGH = 2n ** 64n - 1n;

function typed(key: string, value: unknown): InferParameter {
  if (typeof value === 'boolean') {
    return { parameterChoice: { $case: 'boolParam', boolParam: value } };
  }
  if (typeof value === 'string') {
    return { parameterChoice: { $case: 'stringParam', stringParam: value } };
  }
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (isWhole) {
    const integer = BigInt(value as bigint | number);
    if (integer >= INT64_LOW && integer <= INT64_HIGH) {
      return { parameterChoice: { $case: 'int64Param', int64Param: integer } };
    }
    if (integer >= 0n && integer <= UINT64_HIGH) {
      return { parameterChoice: { $case: 'uint64Param', uint64Param: integer } };
    }
  } else if (typeof value === 'number' && Number.isFinite(value)) {
    return { parameterChoice: { $case: 'doubleParam', doubleParam: value } };
  }
  throw invalidArgument(
    `Unable to parse 'parameters': '${key.slice(0, 64)}' must be a string, a number that 64 bits ` +
      'hold, true or false',
  );
}

/** An object's own values as they are; {} for one that is absent. @throws INVALID_ARGUMENT */
export function plainParameters(value: unknown): ReadonlyMap<string, unknown> {
  if (value === undefined) return new Map();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidArgument("Unable to parse 'parameters': attempt to access JSON non-object");
  }
  return new Map(Object.entries(value));
}

/** @param local keys that this side acts on itself; they do not travel. @throws INVALID_ARGUMENT */
export function parametersOf(
  plain: ReadonlyMap<string, unknown>,
  local: readonly string[],
): Parameters {
  const travelling = [...plain].filter(([key]) => !local.includes(key));
  return new Map(travelling.map(([key, value]) => [key, typed(key, value)]));
}

/** A parameter that must be true or false; undefined when absent. @throws INVALID_ARGUMENT */
export function flagParameter(
  plain: ReadonlyMap<string, unknown>,
  key: string,
): boolean | undefined {
  const value = plain.get(key);
  if (value === undefined || typeof value === 'boolean') return value;
  throw invalidArgument(`invalid value type for '${key}' parameter, expected true or false`);
}

export function printableParameters(
  parameters: Parameters,
): Record<string, string | number | boolean | RawJson> {
  const printable = [...parameters].flatMap(([key, { parameterChoice: choice }]) =>
    choice === undefined ? [] : [[key, printableChoice(choice)] as const],
  );
  return Object.fromEntries(printable);
}

function printableChoice(
  choice: NonNullable<InferParameter['parameterChoice']>,
): string | number | boolean | RawJson {
  switch (choice.$case) {
    case 'boolParam':
      return choice.boolParam;
    case 'stringParam':
      return choice.stringParam;
    case 'doubleParam':
      return Number.isFinite(choice.doubleParam) ? choice.doubleParam : String(choice.doubleParam);
    case 'int64Param':
      return rawJson(String(choice.int64Param));
    case 'uint64Param':
      return rawJson(String(choice.uint64Param));
  }
}
