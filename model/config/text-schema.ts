// Which fields a message of our contracts has, by name, as text format needs it. Taken from the
// descriptors that are generated with the code (proto/gen/descriptors.binpb), so there is no second
// list of Triton's fields to keep.
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  ScalarType,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Code, StatusError } from '../../common/status.ts';

export type FieldType =
  | { readonly kind: 'message'; readonly message: () => MessageShape }
  | { readonly kind: 'enum'; readonly name: string; readonly values: ReadonlyMap<string, number> }
  | { readonly kind: 'scalar'; readonly scalar: ScalarType };

export interface FieldShape {
  readonly name: string;
  readonly number: number;
  readonly isRepeated: boolean;
  /** Name of the oneof that it is a choice of, '' for none. */
  readonly oneof: string;
  readonly type: FieldType;
}

export interface MessageShape {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldShape>;
}

let registry: FileRegistry | undefined;
const shapes = new Map<string, MessageShape>();

function loadRegistry(): FileRegistry {
  const path = new URL('../../proto/gen/descriptors.binpb', import.meta.url);
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(path));
  return createFileRegistry(set);
}

/** @throws INTERNAL when the contracts have no message of this full name. */
export function messageDescriptor(fullName: string): DescMessage {
  registry ??= loadRegistry();
  const descriptor = registry.getMessage(fullName);
  if (descriptor !== undefined) return descriptor;
  throw new StatusError(Code.INTERNAL, `no message ${fullName} in the contracts`);
}

export function messageShape(fullName: string): MessageShape {
  return shapeOf(messageDescriptor(fullName));
}

function shapeOf(descriptor: DescMessage): MessageShape {
  const known = shapes.get(descriptor.typeName);
  if (known !== undefined) return known;
  const fields = new Map(descriptor.fields.map((field) => [field.name, fieldShape(field)]));
  const shape = { name: descriptor.name, fields };
  shapes.set(descriptor.typeName, shape);
  return shape;
}

function fieldShape(field: DescField): FieldShape {
  const { name, number } = field;
  const oneof = field.oneof?.name ?? '';
  const isRepeated = field.fieldKind === 'list' || field.fieldKind === 'map';
  return { name, number, oneof, isRepeated, type: typeOf(field) };
}

function typeOf(field: DescField): FieldType {
  if (field.fieldKind === 'map') {
    const entry = { name: `${field.name} entry`, fields: mapEntryFields(field) };
    return { kind: 'message', message: () => entry };
  }
  return valueType(field.message, field.enum, field.scalar);
}

function valueType(
  message: DescMessage | undefined,
  enumeration: DescEnum | undefined,
  scalar: ScalarType | undefined,
): FieldType {
  if (message !== undefined) return { kind: 'message', message: () => shapeOf(message) };
  if (enumeration !== undefined) {
    const values = new Map(enumeration.values.map((value) => [value.name, value.number]));
    return { kind: 'enum', name: enumeration.name, values };
  }
  return { kind: 'scalar', scalar: scalar ?? ScalarType.STRING };
}

/** On the wire a map is a repeated message with key 1 and value 2. */
function mapEntryFields(field: DescField & { fieldKind: 'map' }): Map<string, FieldShape> {
  const plain = { isRepeated: false, oneof: '' };
  const key: FieldType = { kind: 'scalar', scalar: field.mapKey };
  const value = valueType(field.message, field.enum, field.scalar);
  return new Map([
    ['key', { ...plain, name: 'key', number: 1, type: key }],
    ['value', { ...plain, name: 'value', number: 2, type: value }],
  ]);
}
