// gRPC's health checking service (grpc.health.v1) over whatever knows how the process is. Service
// '' is the whole server.
import type { Log } from '../../common/log.ts';
import { Code, notFound, StatusError } from '../../common/status.ts';
import {
  HealthCheckRequest,
  HealthCheckResponse,
  type HealthCheckResponse_ServingStatus,
  HealthListRequest,
  HealthListResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../proto/gen/grpc/health/v1/health.ts';
import type { Backend } from '../backend.ts';
import { codecOf, defineService, serverStream, unary } from '../service.ts';

/** More services than this are not listed: RESOURCE_EXHAUSTED, as the protocol says. */
export const MAX_LISTED_SERVICES = 100;

export interface HealthSource {
  /** Undefined: no such service. */
  isServing(service: string): boolean | undefined;
  services(): readonly string[];
  /** Calls back when any answer of isServing may have changed; the function returned ends it. */
  onChange(listener: () => void): () => void;
}

/** A source that is told. Starts with '' (the whole server) not serving. */
export class Health implements HealthSource {
  readonly #serving = new Map<string, boolean>([['', false]]);
  readonly #listeners = new Set<() => void>();

  set(service: string, isServing: boolean): void {
    if (this.#serving.get(service) === isServing) return;
    this.#serving.set(service, isServing);
    this.#tell();
  }

  /** The service is not known any more. */
  remove(service: string): void {
    if (this.#serving.delete(service)) this.#tell();
  }

  isServing(service: string): boolean | undefined {
    return this.#serving.get(service);
  }

  services(): readonly string[] {
    return [...this.#serving.keys()];
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function statusOf(source: HealthSource, service: string): HealthCheckResponse_ServingStatus {
  const isServing = source.isServing(service);
  if (isServing === undefined) return ServingStatus.SERVICE_UNKNOWN;
  return isServing ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
}

/** The status now, then each one that differs from the last, until the caller goes. */
async function* watch(source: HealthSource, service: string, signal: AbortSignal) {
  let wake = (): void => {};
  const stopListening = source.onChange(() => wake());
  const onAbort = (): void => wake();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    let told: HealthCheckResponse_ServingStatus | undefined;
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const status = statusOf(source, service);
      if (status !== told) yield { status };
      told = status;
      await changed;
    }
  } finally {
    stopListening();
    signal.removeEventListener('abort', onAbort);
  }
}

function list(source: HealthSource): HealthListResponse {
  const services = source.services();
  if (services.length > MAX_LISTED_SERVICES) {
    const text = `${services.length} services: List tells at most ${MAX_LISTED_SERVICES}`;
    throw new StatusError(Code.RESOURCE_EXHAUSTED, text);
  }
  const entries = services.map((name) => [name, { status: statusOf(source, name) }] as const);
  return { statuses: new Map(entries) };
}

export function healthService(source: HealthSource, log: Log): Backend {
  const request = codecOf(HealthCheckRequest);
  const response = codecOf(HealthCheckResponse);
  return defineService(
    [
      unary('/grpc.health.v1.Health/Check', request, response, ({ service }) => {
        const isServing = source.isServing(service);
        if (isServing === undefined) throw notFound(`unknown service '${service}'`);
        return { status: statusOf(source, service) };
      }),
      serverStream('/grpc.health.v1.Health/Watch', request, response, ({ service }, { signal }) =>
        watch(source, service, signal),
      ),
      unary(
        '/grpc.health.v1.Health/List',
        codecOf(HealthListRequest),
        codecOf(HealthListResponse),
        () => list(source),
      ),
    ],
    log,
  );
}
