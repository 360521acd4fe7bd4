// torus status: nodes, models and their copies, as a person wants to see them.
import type { Command } from 'commander';
import { ClusterStatus } from '../../proto/gen/torus/v1/cluster_service.ts';
import { bytesText, table } from '../client/output.ts';
import { type CommandContext, clientCommand } from './context.ts';

const EXAMPLES = `
Examples:
  torus status
  torus status --server http://127.0.0.1:8000 --json
`;

export function statusCommand(parent: Command): void {
  const command = parent
    .command('status')
    .description('show nodes, models and their copies')
    .addHelpText('after', EXAMPLES);
  clientCommand(command, showStatus);
}

async function showStatus(context: CommandContext): Promise<void> {
  const status = ClusterStatus.fromJSON(await context.client.call('GET', '/api/v1/cluster'));
  context.output.result(ClusterStatus.toJSON(status), statusLines(status));
}

export function statusLines(status: ClusterStatus): readonly string[] {
  const nodes = status.nodes.map((node) => [
    node.id,
    node.state.replace('NODE_STATE_', ''),
    node.address,
    String(node.copies.filter((copy) => copy.state.endsWith('READY')).length),
    String(node.copies.length),
    bytesText(Number(node.memoryUsedBytes)),
  ]);
  const models = status.models.map((model) => [
    model.modelId,
    String(model.version),
    `${Math.round(model.weight * 100)}%`,
    `${model.readyCopies}/${model.wantedCopies}`,
    status.nodes
      .filter((node) =>
        node.copies.some((c) => c.modelId === model.modelId && c.version === model.version),
      )
      .map((node) => node.id)
      .join(' '),
    model.reason,
  ]);
  return [
    `leader ${status.leaderId || 'none'}, epoch ${status.leaderEpoch}`,
    '',
    ...table(['NODE', 'STATE', 'ADDRESS', 'READY', 'COPIES', 'MEMORY'], nodes),
    '',
    ...table(['MODEL', 'VERSION', 'TRAFFIC', 'READY', 'NODES', ''], models),
  ];
}
