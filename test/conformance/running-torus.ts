// A whole Torus for outside judges: its router and its node, each at a port that is known.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { dataFolder, startTorus } from '../support/torus-process.ts';

export interface RunningTorus {
  readonly routerPort: number;
  readonly nodePort: number;
  end(): Promise<void>;
}

/** A port that nobody had a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** @throws Error when it does not start. */
export async function runningTorus(): Promise<RunningTorus> {
  const undo: (() => unknown)[] = [];
  const data = await dataFolder({ teardown: (step) => void undo.push(step) });
  const nodePort = await freePort();
  const torus = await startTorus({ data, flags: ['--node-port', String(nodePort)] });
  return {
    routerPort: Number(torus.grpc.split(':').at(-1)),
    nodePort,
    async end() {
      await torus.end('SIGTERM');
      for (const step of undo) await step();
    },
  };
}
