// Calls of a Backend in JSON: the request is checked and encoded by its descriptor, the answer is
// printed by its own. What the caller wants of the call (deadline, trace) travels along.
import type { DescMessage, DescMethod, JsonObject } from '@bufbuild/protobuf';
import type { Backend } from '../transport/backend.ts';
import { type InvokeOptions, invokeStream, invokeUnary } from '../transport/invoke.ts';
import { methodOf } from './contracts.ts';
import { encodeJson, inferenceJson, type PrintableJson, torusJson } from './message-json.ts';

export type Printer = (message: DescMessage, bytes: Uint8Array) => PrintableJson;

export interface Rpc {
  /** @param path '/torus.v1.JobService/GetJob'. @throws StatusError */
  unary(path: string, request: JsonObject, options: InvokeOptions): Promise<PrintableJson>;
  /** @throws StatusError, from the iteration */
  stream(path: string, request: JsonObject, options: InvokeOptions): AsyncIterable<PrintableJson>;
}

function rpcOver(backend: Backend, print: Printer): Rpc {
  const encode = (method: DescMethod, request: JsonObject) => encodeJson(method.input, request);
  return {
    unary: async (path, request, options) => {
      const method = methodOf(path);
      const { response } = await invokeUnary(backend, path, encode(method, request), options);
      return print(method.output, response);
    },
    stream: async function* (path, request, options) {
      const method = methodOf(path);
      const answers = invokeStream(backend, path, [encode(method, request)], options);
      for await (const bytes of answers) yield print(method.output, bytes);
    },
  };
}

/** torus/v1 in proto3 JSON. */
export function adminRpc(backend: Backend): Rpc {
  return rpcOver(backend, torusJson);
}

/** The Open Inference Protocol as Triton prints it. */
export function inferenceRpc(backend: Backend): Rpc {
  return rpcOver(backend, inferenceJson);
}
