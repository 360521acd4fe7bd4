// Hears from the sentinels when another server has become the master. After a planned fail-over the
// old master takes writes for seconds more, and loses them: who is told leaves it at once. (The
// library's own detector writes to stderr for as long as a sentinel is away.)
import { Redis } from 'ioredis';
import type { RedisAddress } from './address.ts';
import { sentinelOptions } from './client-options.ts';

const SWITCHED = '+switch-master';

/**
 * Calls back for each sentinel that tells of a switch: the first ones may be ahead of the one that
 * is asked next for the master's address. The function returned ends it.
 */
export function watchFailOver(
  address: Extract<RedisAddress, { kind: 'sentinel' }>,
  onSwitch: () => void,
): () => void {
  const clients = address.endpoints.map(({ host, port }) => {
    const client = new Redis({ ...sentinelOptions(address), host, port });
    // One that is away is tried again; the others tell the same.
    client.on('error', () => {});
    client.on('ready', () => {
      // Refused: then a fail-over is met by the errors of the old master.
      client.subscribe(SWITCHED).catch(() => {});
    });
    client.on('message', (_: string, text: string) => {
      // 'master old-host old-port new-host new-port'
      if (text.startsWith(`${address.master} `)) onSwitch();
    });
    return client;
  });
  return () => {
    for (const client of clients) client.disconnect();
  };
}
