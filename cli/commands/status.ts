// torus status: nodes, models and their copies, as a person wants to see them.
import type { Command } from 'commander';
import {
  ClusterStatus,
  type Copy,
  type ModelStatus,
} from '../../proto/gen/torus/v1/cluster_service.ts';
import { bytesText, table } from '../client/output.ts';
import { type CommandContext, clientCommand } from './context.ts';

const EXAMPLES = `
Examples:
  torus status
  torus status --watch                         each second, with calls a second
  torus status --server http://127.0.0.1:8000 --json
`;

export function statusCommand(parent: Command): void {
  const command = parent
    .command('status')
    .description('show nodes, models and their copies')
    .option('--watch', 'look each second, until Ctrl-C; with --json a line for each look')
    .addHelpText('after', EXAMPLES);
  clientCommand(command, showStatus);
}

async function showStatus(context: CommandContext, command: Command): Promise<void> {
  if (command.opts<{ watch?: boolean }>().watch === true) {
    const { watchStatus } = await import('./status-watch.ts');
    return await watchStatus(context, () => performance.now());
  }
  const status = ClusterStatus.fromJSON(await context.client.call('GET', '/api/v1/cluster'));
  context.output.result(ClusterStatus.toJSON(status), statusLines(status));
}

/** What is seen when one looks more than once. */
export interface ClusterLoad {
  /** By node: the part of all models that it is the first candidate of, 0 to 1. */
  readonly ringShares: ReadonlyMap<string, number>;
  /** By 'model/version'. */
  readonly callsPerSecond: ReadonlyMap<string, number>;
}

export function statusLines(status: ClusterStatus, load?: ClusterLoad): readonly string[] {
  const isSeen = load !== undefined;
  const nodes = status.nodes.map((node) => [
    node.id,
    node.state.replace('NODE_STATE_', ''),
    ...(hasZones(status) ? [node.zone] : []),
    node.address,
    ...(isSeen ? [percent(load.ringShares.get(node.id) ?? 0)] : []),
    String(node.copies.filter((copy) => copy.state.endsWith('READY')).length),
    String(node.copies.length),
    memoryText(Number(node.memoryUsedBytes), Number(node.memoryLimitBytes)),
  ]);
  const models = status.models.map((model) => [
    model.modelId,
    String(model.version),
    percent(model.weight),
    ...(isSeen ? [rateText(load.callsPerSecond.get(`${model.modelId}/${model.version}`))] : []),
    `${model.readyCopies}/${model.wantedCopies}`,
    nodesOf(status, model).join(' '),
    model.reason,
  ]);
  const zone = hasZones(status) ? ['ZONE'] : [];
  const [ring, calls] = isSeen ? [['RING'], ['CALLS/S']] : [[], []];
  return [
    `leader ${status.leaderId || 'none'}, epoch ${status.leaderEpoch}`,
    '',
    ...table(['NODE', 'STATE', ...zone, 'ADDRESS', ...ring, 'READY', 'COPIES', 'MEMORY'], nodes),
    '',
    ...table(['MODEL', 'VERSION', 'TRAFFIC', ...calls, 'READY', 'NODES', ''], models),
  ];
}

function hasZones({ nodes }: ClusterStatus): boolean {
  return nodes.some(({ zone }) => zone !== '');
}

function nodesOf({ nodes }: ClusterStatus, model: ModelStatus): readonly string[] {
  const isIt = (copy: Copy): boolean =>
    copy.modelId === model.modelId && copy.version === model.version;
  return nodes.filter(({ copies }) => copies.some(isIt)).map(({ id }) => id);
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

/** '' while it is not known. */
function rateText(rate: number | undefined): string {
  if (rate === undefined) return '';
  return rate > 0 && rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en-US');
}

function memoryText(usedBytes: number, limitBytes: number): string {
  const used = bytesText(usedBytes);
  return limitBytes === 0 ? used : `${used} of ${bytesText(limitBytes)}`;
}
