// Metadata between our form and grpc-js's. Names that belong to the wire are left out both ways:
// each hop writes its own.
import { Metadata as GrpcMetadata } from '@grpc/grpc-js';
import { toBuffer } from '../../common/bytes.ts';
import type { Metadata } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';

/** Written by each hop itself (gRPC over HTTP2, "Call-Definition"), or of no meaning in HTTP/2. */
const OF_THE_WIRE = new Set([
  'accept-encoding',
  'content-length',
  'content-type',
  'date',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-message',
  'grpc-status',
  'grpc-timeout',
  'host',
  'te',
  'user-agent',
]);

export function fromGrpcMetadata(metadata: GrpcMetadata): Metadata {
  let entries: [string, string | Uint8Array][] | undefined;
  const headers = metadata.toJSON();
  for (const key of Object.keys(headers)) {
    if (OF_THE_WIRE.has(key)) continue;
    entries ??= [];
    for (const value of headers[key] ?? []) entries.push([key, value]);
  }
  return entries ?? NO_METADATA;
}

/** @throws Error of grpc-js, naming the entry, when a key or value can't be a header. */
export function toGrpcMetadata(metadata: Metadata): GrpcMetadata {
  const result = new GrpcMetadata();
  for (const [key, value] of metadata) {
    if (OF_THE_WIRE.has(key)) continue;
    result.add(key, typeof value === 'string' ? value : toBuffer(value));
  }
  return result;
}
