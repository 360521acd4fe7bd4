// A gRPC client that knows nothing of our code: @grpc/grpc-js with the proto files, as a user of
// the service would write it.
import { fileURLToPath } from 'node:url';
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PROTO = fileURLToPath(new URL('../../proto', import.meta.url));

type Unary = (
  request: unknown,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, answer: Record<string, unknown>) => void,
) => void;

type Duplex = (
  metadata: Metadata,
  options: { deadline?: number },
) => ClientDuplexStream<unknown, Record<string, unknown>>;

export interface OutsideClient {
  /** @throws grpc-js' ServiceError */
  call(
    method: string,
    request: unknown,
    metadata?: Record<string, string>,
  ): Promise<Record<string, unknown>>;
  /** A stream in both directions, without a deadline where none is given. */
  duplex(
    method: string,
    metadata?: Record<string, string>,
    options?: { deadline?: number },
  ): ReturnType<Duplex>;
  close(): void;
}

/** Where a service is described, below proto/. */
export interface ServiceOrigin {
  readonly file: string;
  readonly service: string;
}

const INFERENCE: ServiceOrigin = {
  file: 'inference/grpc_service.proto',
  service: 'inference.GRPCInferenceService',
};

type Stub = Record<string, Unary | Duplex> & { close(): void };

/** @param address host:port of a server of that service */
export function outsideClient(address: string, origin = INFERENCE): OutsideClient {
  const definition = loadSync(origin.file, {
    includeDirs: [PROTO],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  let found: unknown = loadPackageDefinition(definition);
  for (const part of origin.service.split('.')) found = (found as Record<string, unknown>)[part];
  const client = new (found as new (at: string, trust: unknown) => Stub)(
    address,
    credentials.createInsecure(),
  );
  return {
    call: (method, request, metadata = {}) =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + 30_000 };
        (client[method] as Unary).call(
          client,
          request,
          sent(metadata),
          options,
          (error, answer) => {
            if (error === null) resolve(answer);
            else reject(error);
          },
        );
      }),
    duplex: (method, metadata = {}, options = {}) =>
      (client[method] as Duplex).call(client, sent(metadata), options),
    close: () => client.close(),
  };
}

function sent(metadata: Record<string, string>): Metadata {
  const all = new Metadata();
  for (const [key, value] of Object.entries(metadata)) all.set(key, value);
  return all;
}
