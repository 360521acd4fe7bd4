// Messages as JSON and back, by their descriptors. Two dialects: ours is proto3 JSON; the Open
// Inference Protocol's has the contract's field names and 64-bit integers as numbers.
import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { Code, StatusError, statusOf } from '../common/status.ts';
import { contracts } from './contracts.ts';
import { type RawJson, rawJson } from './exact-json.ts';

export type PrintableJson =
  | JsonValue
  | RawJson
  | { readonly [key: string]: PrintableJson }
  | readonly PrintableJson[];

/**
 * Bytes of a message from its proto3 JSON; unknown fields and wrong types are refused.
 * @throws INVALID_ARGUMENT naming the field
 */
export function encodeJson(message: DescMessage, json: JsonObject): Uint8Array {
  try {
    return toBinary(message, fromJson(message, json, { registry: contracts }));
  } catch (cause) {
    const text = `${statusOf(cause).message}${choices(statusOf(cause).message)}`
      .replaceAll('torus.v1.', '')
      .replaceAll('inference.', '');
    throw new StatusError(Code.INVALID_ARGUMENT, text, { cause });
  }
}

/** The names that are known, where the decoder tells of one of an enum or a key that is not. */
function choices(text: string): string {
  const [, enumName = ''] = /decode enum (\S+) from/.exec(text) ?? [];
  const values = contracts.getEnum(enumName)?.values.map(({ name }) => name) ?? [];
  if (values.length > 0) return `; it is one of ${values.join(', ')}`;
  const [, typeName = ''] = /decode message (\S+) from JSON: key .* is unknown$/.exec(text) ?? [];
  const fields = contracts.getMessage(typeName)?.fields.map(({ jsonName }) => jsonName) ?? [];
  return fields.length === 0 ? '' : `; known are ${fields.join(', ')}`;
}

function decode(message: DescMessage, bytes: Uint8Array) {
  try {
    return fromBinary(message, bytes);
  } catch (cause) {
    const text = `answer is no ${message.typeName}: ${statusOf(cause).message}`;
    throw new StatusError(Code.INTERNAL, text, { cause });
  }
}

/** Proto3 JSON, empty fields too: int64 as strings, enums by name. @throws INTERNAL */
export function torusJson(message: DescMessage, bytes: Uint8Array): PrintableJson {
  return toJson(message, decode(message, bytes), { registry: contracts, alwaysEmitImplicit: true });
}

/**
 * JSON as Triton prints it: field names of the contract, empty fields too, int64 as exact numbers.
 * @throws INTERNAL
 */
export function inferenceJson(message: DescMessage, bytes: Uint8Array): PrintableJson {
  const json = toJson(message, decode(message, bytes), {
    registry: contracts,
    alwaysEmitImplicit: true,
    useProtoFieldName: true,
  });
  return withNumbers(message, json);
}

const WIDE: readonly ScalarType[] = [
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
];

function withNumbers(message: DescMessage, json: JsonValue): PrintableJson {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const fields = new Map(message.fields.map((field) => [field.name, field]));
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const field = fields.get(name);
      return [name, field === undefined ? value : fieldWithNumbers(field, value)];
    }),
  );
}

function fieldWithNumbers(field: DescField, value: JsonValue): PrintableJson {
  const one = oneWithNumbers(field);
  if (one === undefined) return value;
  if (field.fieldKind === 'list' && Array.isArray(value)) return value.map(one);
  if (field.fieldKind === 'map' && typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, one(entry)]));
  }
  return one(value);
}

/** What to do with one element of the field; undefined: it is right as it is. */
function oneWithNumbers(field: DescField): ((value: JsonValue) => PrintableJson) | undefined {
  const { message, scalar } = field;
  if (message !== undefined) return (value) => withNumbers(message, value);
  if (scalar === undefined || !WIDE.includes(scalar)) return undefined;
  return (value) => (typeof value === 'string' ? rawJson(value) : value);
}
