// Clients of a cluster with several routers: ours, and @grpc/grpc-js as anybody would set it up for
// that, with all addresses and round_robin. Neither tries again what a router may have taken.
import { Client, credentials } from '@grpc/grpc-js';
import { systemClock } from '../../common/clock.ts';
import { Code, type StatusError, statusOf } from '../../common/status.ts';
import { NODE_METHODS } from '../../router/router.ts';
import { ConnectionLost } from '../../transport/backend.ts';
import { connectGrpc, type GrpcClient } from '../../transport/client/client.ts';
import { invokeUnary } from '../../transport/invoke.ts';

const INFER = '/inference.GRPCInferenceService/ModelInfer';

export interface Ended {
  readonly code: number;
  /** '' of a call that did not fail. */
  readonly message: string;
  readonly answer: Uint8Array | undefined;
}

export interface ChaosClient {
  readonly kind: 'torus' | 'grpc-js';
  /** Calls ModelInfer; `done` comes once. */
  infer(request: Uint8Array, timeoutMs: number, done: (ended: Ended) => void): void;
  close(): void;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** @param addresses host:port of each router */
export function grpcJsClient(addresses: readonly string[]): ChaosClient {
  const client = new Client(`ipv4:${addresses.join()}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  });
  return {
    kind: 'grpc-js',
    infer(request, timeoutMs, done) {
      const message = Buffer.from(request.buffer, request.byteOffset, request.byteLength);
      const options = { deadline: Date.now() + timeoutMs };
      client.makeUnaryRequest(INFER, asIs, asIs, message, options, (error, answer) => {
        if (error === null) done({ code: 0, message: '', answer });
        else done({ code: error.code, message: error.details, answer: undefined });
      });
    },
    close: () => client.close(),
  };
}

/** @param addresses host:port of each router */
export function torusClient(addresses: readonly string[]): ChaosClient {
  const routers = addresses.map((address) => connectGrpc({ address, methods: NODE_METHODS }));
  let turn = 0;
  /** The next in turn that has not just failed to connect, else the next. */
  const pick = (others?: GrpcClient): GrpcClient | undefined => {
    turn += 1;
    const inTurn = routers.map((_, at) => routers[(turn + at) % routers.length]);
    const rest = inTurn.filter((router) => router !== others);
    return rest.find((router) => router?.state() !== 'failed') ?? rest[0];
  };
  const send = async (request: Uint8Array, untilMs: number): Promise<Uint8Array> => {
    let router = pick();
    for (let tried = 1; ; tried += 1) {
      if (router === undefined) throw new Error('there is no router');
      try {
        const timeoutMs = untilMs - systemClock.nowMs();
        return (await invokeUnary(router, INFER, request, { timeoutMs })).response;
      } catch (thrown) {
        const isUnsent = thrown instanceof ConnectionLost && !thrown.mayHaveRun;
        if (!isUnsent || tried >= routers.length) throw thrown;
        router = pick(router);
      }
    }
  };
  return {
    kind: 'torus',
    infer(request, timeoutMs, done) {
      send(request, systemClock.nowMs() + timeoutMs).then(
        (answer) => done({ code: Code.OK, message: '', answer }),
        (thrown: unknown) => {
          const { code, message }: StatusError = statusOf(thrown);
          done({ code, message, answer: undefined });
        },
      );
    },
    close() {
      for (const router of routers) router.close();
    },
  };
}
