// A router in front of two nodes of another make (node:http2) that meet each call by the same
// script, whichever of them it comes to: what a node does to a call, and what the router makes of
// that, byte for byte.
import type http2 from 'node:http2';
import type { ExecutionContext } from 'ava';
import { HEALTH_CHECK } from '../../router/probes.ts';
import {
  type ForeignServer,
  foreignServer,
  GRPC_HEAD,
} from '../../transport/client/foreign-server.contract.ts';
import { startEchoCluster } from './echo-cluster.ts';
import { linesOf, rawCaller } from './raw-caller.ts';
import { until } from './small-cluster.ts';

export interface Hit {
  readonly node: number;
  readonly stream: http2.ServerHttp2Stream;
  readonly session: http2.ServerHttp2Session;
  /** Its node's connections end without a word. */
  cut(): void;
  readonly headers: http2.IncomingHttpHeaders;
  /** 'name: value', each as often as it came. */
  readonly headerLines: readonly string[];
  /** Its content, once it is whole; never, if it isn't. */
  body(): Promise<Buffer>;
}

/** @param at how many calls came before this one, to all nodes together */
export type NodeScript = (hit: Hit, at: number) => void;

export interface Scripted {
  readonly hits: readonly Hit[];
  readonly servers: readonly ForeignServer[];
  readonly cluster: Awaited<ReturnType<typeof startEchoCluster>>;
  readonly caller: ReturnType<typeof rawCaller>;
}

export interface ScriptedWishes {
  /** Of the model. */
  readonly isIdempotent?: boolean;
  readonly nodes?: number;
}

/** Ends with the test; then the router must hold nothing. */
export async function scriptedCluster(
  t: ExecutionContext,
  script: NodeScript,
  { isIdempotent = true, nodes = 2 }: ScriptedWishes = {},
): Promise<Scripted> {
  const hits: Hit[] = [];
  const servers: ForeignServer[] = [];
  for (let node = 0; node < nodes; node += 1) {
    const server = await foreignServer((stream, headers, session, raw) => {
      if (headers[':path'] === HEALTH_CHECK) return void serving(stream);
      const cut = (): void => servers[node]?.cut();
      const hit = { node, stream, headers, session, headerLines: linesOf(raw), cut, body };
      async function body(): Promise<Buffer> {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        await new Promise((resolve) => stream.once('end', resolve));
        return Buffer.concat(chunks);
      }
      hits.push(hit);
      script(hit, hits.length - 1);
    });
    servers.push(server);
  }
  const others = servers.map(({ address }, at) => ({ id: `n${at}`, address }));
  const cluster = await startEchoCluster([], { isPassing: true, others, isIdempotent });
  const caller = rawCaller(cluster.address);
  t.teardown(async () => {
    caller.session.destroy();
    await until('nothing is held', () => cluster.held() === 0);
    await cluster.stop();
    for (const server of servers) await server.stop();
  });
  return { hits, servers, cluster, caller };
}

/** A probe of the router is nothing that a script is asked about. */
function serving(stream: http2.ServerHttp2Stream): void {
  stream.respond(GRPC_HEAD, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.alloc(5));
}

/** Answers with what it was sent. */
export async function echo(hit: Hit): Promise<void> {
  const body = await hit.body();
  hit.stream.respond(GRPC_HEAD, { waitForTrailers: true });
  hit.stream.on('wantTrailers', () => hit.stream.sendTrailers({ 'grpc-status': '0' }));
  hit.stream.end(body);
}
