// What the OpenAPI document says of messages, made from their descriptors: an API description that
// can't fall behind the contracts.
import { type DescField, type DescMessage, type DescMethod, ScalarType } from '@bufbuild/protobuf';
import { messageOf, methodOf } from './contracts.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** JSON of well-known types (proto3 JSON mapping). */
const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.FieldMask': { type: 'string', description: 'field names, commas between' },
  'google.protobuf.Empty': { type: 'object' },
};

const INFERENCE = 'inference.';
const isInference = (message: DescMessage): boolean => message.typeName.startsWith(INFERENCE);

/** 'torus.v1.Job' -> 'Job'; nested ones as 'ModelConfig.Entry'. */
function schemaId(message: DescMessage): string {
  return message.typeName.replace(/^torus\.v1\./, '');
}

/** The schema of a message where it is used. */
export function refTo(message: DescMessage | string): Schema {
  const found = typeof message === 'string' ? messageOf(message) : message;
  return WELL_KNOWN[found.typeName] ?? { $ref: `${schemaId(found)}#` };
}

export function answerOfMethod(path: string): Schema {
  return refTo(methodOf(path).output);
}

function scalarSchema(scalar: ScalarType, isWideNumber: boolean): Schema {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: 'boolean' };
    case ScalarType.STRING:
      return { type: 'string' };
    case ScalarType.BYTES:
      return { type: 'string', format: 'byte' };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { type: 'number' };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: isWideNumber ? 'integer' : 'string', format: 'int64' };
    default:
      return { type: 'integer', format: 'int32' };
  }
}

function elementSchema(field: DescField, isWideNumber: boolean): Schema {
  if (field.message !== undefined) return refTo(field.message);
  if (field.enum !== undefined) {
    return { type: 'string', enum: field.enum.values.map((value) => value.name) };
  }
  return scalarSchema(field.scalar ?? ScalarType.STRING, isWideNumber);
}

function fieldSchema(field: DescField, isWideNumber: boolean): Schema {
  const element = elementSchema(field, isWideNumber);
  if (field.fieldKind === 'list') return { type: 'array', items: element };
  if (field.fieldKind === 'map') return { type: 'object', additionalProperties: element };
  return element;
}

function messageSchema(message: DescMessage): Schema {
  const isOip = isInference(message);
  const properties = message.fields.map((field) => [
    isOip ? field.name : field.jsonName,
    fieldSchema(field, isOip),
  ]);
  return { $id: schemaId(message), type: 'object', properties: Object.fromEntries(properties) };
}

/** Schemas of these messages and of all that they hold. */
export function messageSchemas(roots: readonly DescMessage[]): readonly Schema[] {
  const seen = new Map<string, DescMessage>();
  const visit = (message: DescMessage): void => {
    if (seen.has(message.typeName) || WELL_KNOWN[message.typeName] !== undefined) return;
    seen.set(message.typeName, message);
    for (const field of message.fields) if (field.message !== undefined) visit(field.message);
  };
  for (const root of roots) visit(root);
  return [...seen.values()].map(messageSchema);
}

export function inputsAndOutputs(methods: readonly DescMethod[]): readonly DescMessage[] {
  return methods.flatMap((method) => [method.input, method.output]);
}

export const ERROR_SCHEMA: Schema = {
  $id: 'Error',
  type: 'object',
  required: ['error', 'code'],
  properties: {
    error: { type: 'string', description: 'what was wrong, and what would be right' },
    code: { type: 'string', description: 'name of the gRPC status code, like NOT_FOUND' },
  },
};
