// A listener in front of a node that passes its calls on and counts them. When told to, it answers
// each with UNAVAILABLE itself, as a node does that can't take any. The node behind it is real.
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import { NODE_METHODS } from '../../router/router.ts';
import type { UnaryCall } from '../../transport/backend.ts';
import { connectGrpc } from '../../transport/client/client.ts';
import { serveGrpc } from '../../transport/server/serve-grpc.ts';

const HOST = '127.0.0.1';
const HEALTH = '/grpc.health.';

export interface RefusingFront {
  readonly port: number;
  /** Calls that routers have sent to it, probes of its health left out. */
  attempts(): number;
  refuse(isRefusing: boolean): void;
  end(): Promise<void>;
}

/** @param nodePort where the node behind it listens, or will */
export async function refusingFront(port: number, nodePort: number): Promise<RefusingFront> {
  const node = connectGrpc({ address: `${HOST}:${nodePort}`, methods: NODE_METHODS });
  let attempts = 0;
  let isRefusing = false;
  const isRefused = ({ path }: { readonly path: string }): boolean => {
    if (path.startsWith(HEALTH)) return false;
    attempts += 1;
    return isRefusing;
  };
  const refusal = (): StatusError => new StatusError(Code.UNAVAILABLE, 'the node takes no calls');
  const backend = {
    methods: NODE_METHODS,
    unary: (call: UnaryCall) => (isRefused(call) ? call.fail(refusal()) : node.unary(call)),
    stream: (call: Parameters<typeof node.stream>[0]) =>
      isRefused(call) ? call.fail(refusal()) : node.stream(call),
  };
  const log = createLog({ role: 'chaos', level: 'silent' });
  const listener = await serveGrpc({ backend, host: HOST, port, portFlag: '', log });
  return {
    port,
    attempts: () => attempts,
    refuse(value) {
      isRefusing = value;
    },
    async end() {
      node.close();
      await listener.stop();
    },
  };
}
