// The wire contracts as data: descriptors of every message and method, from which the gateway makes
// JSON, checks it, and describes it in the OpenAPI document. One description, so they can't differ.
import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { MethodKind } from '../transport/backend.ts';

const DESCRIPTORS = new URL('../proto/gen/descriptors.binpb', import.meta.url);

export const contracts = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(DESCRIPTORS)),
);

/**
 * @param path as in a call: '/torus.v1.JobService/GetJob'
 * @throws when there is none: a mistake of the program
 */
export function methodOf(path: string): DescMethod {
  const [, service = '', name = ''] = path.split('/');
  const method = contracts.getService(service)?.methods.find((one) => one.name === name);
  if (method === undefined) throw new Error(`no method ${path} in the contracts`);
  return method;
}

/** @throws when there is none: a mistake of the program */
export function messageOf(typeName: string): DescMessage {
  const message = contracts.getMessage(typeName);
  if (message === undefined) throw new Error(`no message ${typeName} in the contracts`);
  return message;
}

const KINDS: Readonly<Record<DescMethod['methodKind'], MethodKind>> = {
  unary: 'unary',
  client_streaming: 'client_stream',
  server_streaming: 'server_stream',
  bidi_streaming: 'bidi_stream',
};

/** The methods of services, as a connection to whoever answers them wants to know them. */
export function methodsOfServices(names: readonly string[]): ReadonlyMap<string, MethodKind> {
  const methods = names.flatMap((name) => contracts.getService(name)?.methods ?? []);
  return new Map(
    methods.map((one) => [`/${one.parent.typeName}/${one.name}`, KINDS[one.methodKind]] as const),
  );
}

/** What the gateway calls on the router. */
export const INFERENCE_METHODS = methodsOfServices(['inference.GRPCInferenceService']);
/** What the gateway calls on control. */
export const ADMIN_METHODS = methodsOfServices([
  'torus.v1.ModelService',
  'torus.v1.DataSetService',
  'torus.v1.JobService',
  'torus.v1.ClusterService',
]);
