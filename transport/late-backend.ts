// A listener has to be open before its port is known, and a node tells its port to the cluster
// before it can answer. So the listener carries this, which lets calls wait until the real one is
// there: a router that knows the node from before sends them as soon as the port is open.
import { type StatusError, unavailable } from '../common/status.ts';
import type { Backend, MethodKind, StreamCall, UnaryCall } from './backend.ts';

/** Calls that wait for the start; one more, and any stream, is refused with UNAVAILABLE. */
export const MAX_EARLY_CALLS = 1_000;

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
  readonly #early = new Set<UnaryCall>();

  constructor(methods: ReadonlyMap<string, MethodKind>) {
    this.methods = methods;
  }

  become(target: Backend): void {
    this.#target = target;
    const early = [...this.#early];
    this.#early.clear();
    for (const call of early) {
      call.onCancel = undefined;
      target.unary(call);
    }
  }

  unary(call: UnaryCall): void {
    if (this.#target !== undefined) this.#target.unary(call);
    else if (this.#early.size >= MAX_EARLY_CALLS) call.fail(starting());
    else {
      this.#early.add(call);
      call.onCancel = () => this.#early.delete(call);
    }
  }

  stream(call: StreamCall): void {
    if (this.#target === undefined) call.fail(starting());
    else this.#target.stream(call);
  }
}

function starting(): StatusError {
  return unavailable('starting: try again in a moment');
}
