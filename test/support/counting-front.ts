// An HTTP listener before a store's that passes everything on, and counts what is read: how much at
// a time, and how often each thing.
import { createServer, request } from 'node:http';

const HOST = '127.0.0.1';

export interface CountingFront {
  readonly port: number;
  /** The most reads that were under way at the same time since the last call of this. */
  mostAtATime(): number;
  /** How often each path was read since the last call of this. */
  reads(): ReadonlyMap<string, number>;
  end(): Promise<void>;
}

/** @param targetPort asked with the headers as they came: signatures stay good */
export async function countingFront(targetPort: number): Promise<CountingFront> {
  let [open, most] = [0, 0];
  let reads = new Map<string, number>();
  const server = createServer((incoming, answer) => {
    const { method, url: path = '/', headers } = incoming;
    if (method === 'GET') {
      const [key = ''] = path.split('?');
      reads.set(key, (reads.get(key) ?? 0) + 1);
      open += 1;
      most = Math.max(most, open);
      answer.once('close', () => {
        open -= 1;
      });
    }
    const options = { host: HOST, port: targetPort, method, path, headers };
    const outgoing = request(options, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    outgoing.once('error', () => answer.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return {
    port: address.port,
    mostAtATime() {
      const was = most;
      most = open;
      return was;
    },
    reads() {
      const was = reads;
      reads = new Map();
      return was;
    },
    async end() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
