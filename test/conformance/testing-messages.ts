// The messages of testing.proto and orca.proto as types, and their codecs, read from those files.
import { join } from 'node:path';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import { toBuffer } from '../../common/bytes.ts';
import type { MethodKind } from '../../transport/backend.ts';

export interface Payload {
  readonly body: Uint8Array;
}

export interface OrcaReport {
  readonly cpuUtilization: number;
  readonly memoryUtilization: number;
  readonly requestCost: Readonly<Record<string, number>>;
  readonly utilization: Readonly<Record<string, number>>;
}

interface Flag {
  readonly value: boolean;
}

interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

export interface SimpleRequest {
  readonly responseSize: number;
  readonly payload: Payload | null;
  readonly responseCompressed: Flag | null;
  readonly responseStatus: EchoStatus | null;
  readonly expectCompressed: Flag | null;
  readonly fillServerId: boolean;
  readonly orcaPerQueryReport: OrcaReport | null;
}

export interface StreamingInputRequest {
  readonly payload: Payload | null;
  readonly expectCompressed: Flag | null;
}

export interface ResponseParameters {
  readonly size: number;
  readonly intervalUs: number;
  readonly compressed: Flag | null;
}

export interface StreamingOutputRequest {
  readonly responseParameters: readonly ResponseParameters[];
  readonly responseStatus: EchoStatus | null;
  readonly orcaOobReport: OrcaReport | null;
}

export interface OrcaRequest {
  readonly reportInterval: { readonly seconds: number; readonly nanos: number } | null;
}

/** A method of the files: its messages are plain objects with every field there. */
export interface TestMethod {
  readonly path: string;
  readonly kind: MethodKind;
  decodeRequest(bytes: Uint8Array): unknown;
  encodeRequest(message: object): Uint8Array;
  decodeResponse(bytes: Uint8Array): unknown;
  encodeResponse(message: object): Uint8Array;
}

const files = ['testing.proto', 'orca.proto'].map((name) => join(import.meta.dirname, name));
const definitions = loadSync(files, { longs: Number, enums: Number, defaults: true, oneofs: true });

function kindOf({ requestStream, responseStream }: MethodDefinition<object, object>): MethodKind {
  if (requestStream) return responseStream ? 'bidi_stream' : 'client_stream';
  return responseStream ? 'server_stream' : 'unary';
}

/** @param service 'grpc.testing.TestService' */
export function testMethod(service: string, name: string): TestMethod {
  const definition = definitions[service] as Record<string, MethodDefinition<object, object>>;
  const method = definition?.[name];
  if (method === undefined) throw new Error(`no method ${name} in ${service}`);
  return {
    path: method.path,
    kind: kindOf(method),
    decodeRequest: (bytes) => method.requestDeserialize(toBuffer(bytes)),
    encodeRequest: (message) => method.requestSerialize(message),
    decodeResponse: (bytes) => method.responseDeserialize(toBuffer(bytes)),
    encodeResponse: (message) => method.responseSerialize(message),
  };
}
