// Metadata between our form and header fields (gRPC over HTTP/2, Custom-Metadata): values of names
// that end in -bin are bytes, in base64 on the wire.

import { toBuffer } from '../../common/bytes.ts';
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import type { Metadata } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';
import { WIRE_NAMES } from './wire-names.ts';

export type MetadataEntry = [key: string, value: string | Uint8Array];

const NAME = /^[0-9a-z_.-]+$/;
/** Printable ASCII (ASCII-Value). */
const VALUE = /^[ -~]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Adds to `entries` what a field that is not of the wire says; several values under one -bin name,
 * joined by commas, become several entries.
 * @throws StatusError INTERNAL when a -bin value is not base64; the value is not told.
 */
export function addEntries(entries: MetadataEntry[], field: HeaderField): void {
  if (!field.name.endsWith('-bin')) {
    entries.push([field.name, field.value]);
    return;
  }
  for (const part of field.value.split(',')) entries.push([field.name, decoded(field.name, part)]);
}

/** Padded or not (the specification: implementations accept both). */
function decoded(name: string, value: string): Uint8Array {
  const text = value.trim();
  const digits = text.replace(/=+$/, '').length;
  if (BASE64.test(text) && digits % 4 !== 1) return Buffer.from(text, 'base64');
  throw new StatusError(Code.INTERNAL, `a value of header ${name} is not base64`);
}

/** What `fields` say to the application. @throws as addEntries. */
export function fromFields(fields: readonly HeaderField[]): Metadata {
  let entries: MetadataEntry[] | undefined;
  for (const field of fields) {
    if (WIRE_NAMES.has(field.name)) continue;
    entries ??= [];
    addEntries(entries, field);
  }
  return entries ?? NO_METADATA;
}

/**
 * Adds `metadata` to `fields`; entries whose names are of the wire are left out, space around text
 * is dropped (RFC 9113, 8.2.1 forbids it).
 * @throws StatusError INVALID_ARGUMENT, naming the key, when a key or value can't be a header.
 */
export function addFields(fields: HeaderField[], metadata: Metadata): void {
  for (const [name, value] of metadata) {
    if (WIRE_NAMES.has(name)) continue;
    if (!NAME.test(name)) {
      const shown = JSON.stringify(name);
      throw invalidArgument(`metadata key ${shown} has other characters than 0-9 a-z _ - .`);
    }
    fields.push(headerField(name, encoded(name, value)));
  }
}

/** Without padding, as the specification recommends. */
function encoded(name: string, value: string | Uint8Array): string {
  const isBytes = typeof value !== 'string';
  if (isBytes !== name.endsWith('-bin')) {
    const wanted = isBytes ? 'text, as its key does not end in -bin' : 'bytes';
    throw invalidArgument(`the value of metadata key ${name} must be ${wanted}`);
  }
  if (isBytes) return toBuffer(value).toString('base64').replace(/=+$/, '');
  if (VALUE.test(value)) return value.trim();
  throw invalidArgument(
    `the value of metadata key ${name} has other characters than printable ASCII`,
  );
}
