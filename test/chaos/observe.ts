// What a process of the cluster shows of itself while it runs: its metrics, its log, and what the
// kernel holds for it.
import { readFile } from 'node:fs/promises';
import type { Member } from './member.ts';

const METRICS_TIMEOUT_MS = 2_000;
const LISTENING = '0A';

/** The sum of a metric's values whose labels hold these, or 0. @throws when it is not answered */
export async function metric(
  member: Member,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const url = `http://${member.process.at.metrics}/metrics`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(METRICS_TIMEOUT_MS) });
  return sumOf(await answer.text(), name, labels);
}

/** Of a page in Prometheus' text format. */
export function sumOf(
  page: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  let sum = 0;
  for (const line of page.split('\n')) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (found?.[1] !== name) continue;
    const said = `,${found[2] ?? ''},`;
    const isMeant = Object.entries(labels).every(([key, value]) =>
      said.includes(`,${key}="${value}",`),
    );
    if (isMeant) sum += Number(found[3]);
  }
  return sum;
}

/** How often a member has logged that message since it was started. */
export function logged(member: Member, message: string): number {
  const { process } = member;
  return `${process.stdout()}${process.stderr()}`.split(`"msg":"${message}"`).length - 1;
}

/**
 * Bytes that others have sent to a listener's connections, accepted or not, and that its process
 * has not read: of a process that stands still, all that it was sent since.
 */
export async function unreadBytes(port: number): Promise<number> {
  const table = await readFile('/proc/net/tcp', 'utf8');
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let sum = 0;
  // Columns of proc(5): number, local address, remote address, state, tx_queue:rx_queue, ...
  for (const line of table.split('\n').slice(1)) {
    const [, local = '', , state = '', queues = ''] = line.trim().split(/\s+/);
    if (local.endsWith(end) && state !== LISTENING) {
      sum += Number.parseInt(queues.split(':')[1] ?? '0', 16);
    }
  }
  return sum;
}
