// The commands that stay up and serve. Known before anything of them is loaded.
const SERVERS = ['up', 'node', 'router', 'control', 'gateway', 'ingest', 'trainer'];

export function isServer(command: string | undefined): boolean {
  return command !== undefined && SERVERS.includes(command);
}
