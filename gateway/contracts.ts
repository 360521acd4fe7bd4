// The wire contracts as data: descriptors of every message and method, from which the gateway makes
// JSON, checks it, and describes it in the OpenAPI document. One description, so they can't differ.
import {
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readDescriptors } from '../transport/services/descriptors.ts';

export const contracts = createFileRegistry(fromBinary(FileDescriptorSetSchema, readDescriptors()));

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
