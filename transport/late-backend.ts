// A listener has to be open before its port is known, and a node tells its port to the cluster
// before it can answer. So the listener carries this, which refuses calls until the real one is
// there.
import { unavailable } from '../common/status.ts';
import type { Backend, MethodKind, StreamCall, UnaryCall } from './backend.ts';

/** The part of a generated service definition that tells its methods. */
export interface MethodsOf {
  readonly fullName: string;
  readonly methods: Readonly<
    Record<
      string,
      { readonly name: string; readonly requestStream: boolean; readonly responseStream: boolean }
    >
  >;
}

export function kindOf(requests: boolean, responses: boolean): MethodKind {
  if (requests) return responses ? 'bidi_stream' : 'client_stream';
  return responses ? 'server_stream' : 'unary';
}

/** The paths of services and their kinds. */
export function pathsOf(definitions: readonly MethodsOf[]): ReadonlyMap<string, MethodKind> {
  return new Map(
    definitions.flatMap(({ fullName, methods }) =>
      Object.values(methods).map((method) => [
        `/${fullName}/${method.name}`,
        kindOf(method.requestStream, method.responseStream),
      ]),
    ),
  );
}

export class LateBackend implements Backend {
  readonly methods: ReadonlyMap<string, MethodKind>;
  #target: Backend | undefined;

  constructor(methods: ReadonlyMap<string, MethodKind>) {
    this.methods = methods;
  }

  become(target: Backend): void {
    this.#target = target;
  }

  unary(call: UnaryCall): void {
    if (this.#target === undefined) call.fail(unavailable('starting: try again in a moment'));
    else this.#target.unary(call);
  }

  stream(call: StreamCall): void {
    if (this.#target === undefined) call.fail(unavailable('starting: try again in a moment'));
    else this.#target.stream(call);
  }
}
