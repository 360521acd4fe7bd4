// torus up: every role in one process on embedded stores.
import type { Command } from 'commander';
import { BUSY_POLL_FLAG } from '../busy-poll.ts';
import { createOutput } from '../client/output.ts';
import { CONNECTION_AGE_FLAG } from '../connection-age.ts';
import { variableOf } from '../flags.ts';
import { IO_THREADS_FLAG } from '../io-threads.ts';
import { LISTENER_TLS_FLAGS } from '../tls-settings.ts';
import { readUpSettings } from '../up/settings.ts';
import { serverFlags } from './server-flags.ts';

const EXAMPLES = `
Every flag may be given as a variable: --grpc-port 0 as TORUS_GRPC_PORT=0, --demo as
TORUS_DEMO=true. A flag wins. OTEL_EXPORTER_OTLP_ENDPOINT stands for --trace-otlp too.

Examples:
  torus up --demo                              train and serve two models on data that comes along
  torus up --model-repository ./models         serve a folder in Triton's layout
  torus up --data /var/lib/torus --nodes 4
  torus up --grpc-port 0 --http-port 0 --metrics-port 0 --admin-port 0 --blob-port 0 --node-port 0`;

const VALUE_FLAGS: readonly (readonly [flag: string, text: string])[] = [
  ['--host <address>', 'address of every listener (default 127.0.0.1)'],
  ['--data <dir>', 'folder of everything that lasts (default ./data)'],
  ['--grpc-port <port>', "the cluster's address: inference over gRPC (default 8001)"],
  ['--http-port <port>', 'REST gateway (default 8000)'],
  ['--metrics-port <port>', '/metrics, /livez, /readyz (default 8002)'],
  ['--admin-port <port>', 'admin gRPC, torus/v1 (default 8003)'],
  ['--blob-port <port>', 'blobs over HTTP (default 8004)'],
  ['--node-port <port>', 'gRPC of the first node, the next ones follow (default 8011)'],
  ['--nodes <n>', 'nodes in this process (default 2)'],
  IO_THREADS_FLAG,
  BUSY_POLL_FLAG,
  CONNECTION_AGE_FLAG,
  [
    '--execution <way>',
    'where models run whose configuration does not say: inline, worker, or auto (default auto)',
  ],
  ['--model-repository <dir>', "import a model repository in Triton's layout at start"],
  [
    '--trace-otlp <url>',
    'send spans of calls to this collector, OTLP over HTTP (default: none are made)',
  ],
  [
    '--trace-sample <ratio>',
    'of the calls that come without a traceparent, this part is traced (default 0.01)',
  ],
  ...LISTENER_TLS_FLAGS,
  [
    '--admin-token-file <file>',
    'tokens, one a line: who changes the cluster has to bring one (asked off loopback)',
  ],
  ['--log-level <level>', 'trace, debug, info, warn, error or silent (default warn)'],
];

export function upCommand(parent: Command): void {
  const command = parent.command('up').description('start every role in this process');
  for (const [flag, text] of VALUE_FLAGS) {
    command.addOption(command.createOption(flag, text).env(variableOf(flag)));
  }
  command
    .option('--demo', 'train, publish and serve two models on the data that comes along')
    .option('--no-demo', 'start empty (the default)')
    .option('--insecure', 'allow listeners off loopback without TLS')
    .addHelpText('after', EXAMPLES)
    .action(async () => {
      const write = (text: string): boolean => process.stderr.write(text);
      const output = createOutput(false, (text) => process.stdout.write(text), write);
      try {
        const settings = readUpSettings(serverFlags(command.opts(), ['demo', 'insecure']));
        const { runUp } = await import('../up/run.ts');
        await runUp(settings);
      } catch (thrown) {
        process.exitCode = output.error(thrown);
      }
    });
}
