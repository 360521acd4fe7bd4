// NGINX and Envoy as gRPC proxies to given nodes, each set up for one core as their manuals say:
// NGINX with grpc_pass and connections to the nodes kept open, Envoy with a ring_hash cluster.
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { unavailable } from '../../common/status.ts';
import type { Launch } from '../contender.ts';
import { findEnvoy, findNginx } from './build.ts';

const UP_TIMEOUT_MS = 10_000;
const LOOK_MS = 20;
/** Above what the benches have in flight. */
const MOST_STREAMS = 1_000;

export const NGINX = 'NGINX';
export const ENVOY = 'Envoy';

export type ProxyEntry = { readonly launch: Launch } | { readonly missing: string };

/** A port that was free a moment ago: neither proxy tells which it took. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function readyAt(port: number): NonNullable<Launch['ready']> {
  return {
    port,
    async untilUp() {
      const endMs = performance.now() + UP_TIMEOUT_MS;
      while (!(await accepts(port))) {
        if (performance.now() > endMs) throw unavailable(`nothing listens on port ${port}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    },
  };
}

export async function nginxEntry(folder: string, nodes: readonly number[]): Promise<ProxyEntry> {
  const built = await findNginx();
  if ('missing' in built) return { missing: `${NGINX}: ${built.missing}` };
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, nginxConfig(folder, port, nodes));
  const command = [...built.command, '-p', folder, '-c', file, '-e', 'stderr'];
  return { launch: { name: NGINX, command, ready: readyAt(port) } };
}

function nginxConfig(folder: string, port: number, nodes: readonly number[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
master_process off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 8192; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/nginx-${name};`).join('\n  ')}
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  http2_max_concurrent_streams ${MOST_STREAMS};
  upstream nodes {
    ${nodes.map((node) => `server 127.0.0.1:${node};`).join('\n    ')}
    keepalive ${MOST_STREAMS};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }
  server {
    listen 127.0.0.1:${port} http2;
    location / { grpc_pass grpc://nodes; }
  }
}
`;
}

export async function envoyEntry(folder: string, nodes: readonly number[]): Promise<ProxyEntry> {
  const built = await findEnvoy();
  if ('missing' in built) return { missing: `${ENVOY}: ${built.missing}` };
  const port = await freePort();
  const file = join(folder, 'envoy.json');
  await writeFile(file, JSON.stringify(envoyConfig(port, nodes)));
  const flags = ['--concurrency', '1', '--disable-hot-restart', '-l', 'error'];
  const command = [...built.command, '-c', file, ...flags];
  return { launch: { name: ENVOY, command, ready: readyAt(port) } };
}

const TYPES = 'type.googleapis.com/envoy.extensions';
const HTTP2 = { max_concurrent_streams: MOST_STREAMS };

function socketAddress(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function envoyConfig(port: number, nodes: readonly number[]) {
  const manager = {
    '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'bench',
    codec_type: 'HTTP2',
    http2_protocol_options: HTTP2,
    route_config: {
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'nodes', timeout: '60s' } }],
        },
      ],
    },
    http_filters: [
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router` },
      },
    ],
  };
  const filters = [{ name: 'envoy.http_connection_manager', typed_config: manager }];
  const endpoints = nodes.map((node) => ({ endpoint: { address: socketAddress(node) } }));
  const cluster = {
    name: 'nodes',
    type: 'STATIC',
    connect_timeout: '1s',
    // Without a hash policy each request takes a place on the ring at random.
    lb_policy: 'RING_HASH',
    load_assignment: { cluster_name: 'nodes', endpoints: [{ lb_endpoints: endpoints }] },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: { http2_protocol_options: HTTP2 },
      },
    },
  };
  const listener = { name: 'in', address: socketAddress(port), filter_chains: [{ filters }] };
  return { static_resources: { listeners: [listener], clusters: [cluster] } };
}
