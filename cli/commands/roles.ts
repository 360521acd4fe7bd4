// torus node, router, control, gateway, ingest, trainer: one role in this process, for clusters of
// several processes around shared stores.
import type { Command } from 'commander';
import { BUSY_POLL_FLAG } from '../busy-poll.ts';
import { createOutput } from '../client/output.ts';
import { CONNECTION_AGE_FLAG } from '../connection-age.ts';
import { variableOf } from '../flags.ts';
import { BLOBS_FORM, CATALOG_FORM, DATASETS_FORM, REGISTRY_FORM } from '../roles/addresses.ts';
import type { StartRole } from '../roles/role-process.ts';
import { type RoleName, readRoleSettings } from '../roles/settings.ts';
import { authoritiesFlag, LISTENER_TLS_FLAGS, OWN_CERTIFICATE_FLAGS } from '../tls-settings.ts';
import { serverFlags } from './server-flags.ts';

type ValueFlag = readonly [flag: string, text: string];

const REGISTRY: ValueFlag = ['--registry <address>', `live state: ${REGISTRY_FORM}`];
const BLOBS: ValueFlag = ['--blobs <address>', `artifacts: ${BLOBS_FORM}`];
const STORES: readonly ValueFlag[] = [
  REGISTRY,
  ['--catalog <address>', `models, data sets, jobs: ${CATALOG_FORM}`],
  BLOBS,
  ['--datasets <address>', `rows of data sets: ${DATASETS_FORM}`],
];
const SPANS: readonly ValueFlag[] = [
  ['--trace-otlp <url>', 'send spans of calls to this collector, OTLP over HTTP (default: none)'],
  [
    '--trace-sample <ratio>',
    'part of the calls without a traceparent that is traced (default 0.01)',
  ],
];
const TOKEN: ValueFlag = ['--admin-token-file <file>', 'token to show to control, its first line'];
const ASKED_TOKEN: ValueFlag = [
  '--admin-token-file <file>',
  'tokens, one a line: who changes the cluster has to bring one',
];
const CALLS_CONTROL: readonly ValueFlag[] = [
  authoritiesFlag('--control-ca', 'control, and blobs that it serves,'),
  ...OWN_CERTIFICATE_FLAGS,
];
const COMMON: readonly ValueFlag[] = [
  ['--host <address>', 'address of every listener (default 127.0.0.1)'],
  ['--metrics-port <port>', '/metrics, /livez, /readyz (default 8002)'],
  ...LISTENER_TLS_FLAGS,
  ['--log-level <level>', 'trace, debug, info, warn, error or silent (default warn)'],
];
const ID: ValueFlag = ['--id <name>', 'its name (default: of the host and the process)'];

interface RoleCommand {
  readonly about: string;
  readonly flags: readonly ValueFlag[];
  readonly examples: string;
}

const SHARED = '--registry redis://redis:6379 --catalog postgres://torus@db/torus';

const COMMANDS: { readonly [R in RoleName]: RoleCommand } = {
  node: {
    about: 'start an inference node: it holds the models that the leader gives it',
    flags: [
      REGISTRY,
      BLOBS,
      ['--data <dir>', 'its cache of artifacts and last assignment (default ./data-node)'],
      ['--node-port <port>', 'gRPC (default 8011)'],
      [
        '--advertise <host>',
        'HOST or HOST:PORT where routers reach it (default: where it listens)',
      ],
      ['--id <name>', 'its name in the cluster (default: one that is kept in --data)'],
      ['--zone <name>', 'copies of a model are spread over zones'],
      ['--memory-limit <bytes>', 'what its models may take, such as 8GiB (default: no limit)'],
      [
        '--execution <way>',
        'where models run that do not say: inline, worker, auto (default auto)',
      ],
      BUSY_POLL_FLAG,
      CONNECTION_AGE_FLAG,
      ...CALLS_CONTROL,
      TOKEN,
      ...SPANS,
    ],
    examples: `
  torus node --registry redis://127.0.0.1:6379 --blobs http://127.0.0.1:8004
  torus node --registry redis://redis:6379 --blobs 's3://models?region=eu-central-1' \\
      --data /var/lib/torus --host 0.0.0.0 --insecure --advertise "$POD_IP" --zone a`,
  },
  router: {
    about: "start a router: the cluster's address for inference over gRPC",
    flags: [
      REGISTRY,
      ['--data <dir>', 'its last routes (default ./data-router)'],
      ['--grpc-port <port>', 'inference over gRPC (default 8001)'],
      ['--control <address>', 'HOST:PORT of control, for RepositoryModelLoad and -Unload'],
      BUSY_POLL_FLAG,
      CONNECTION_AGE_FLAG,
      authoritiesFlag('--node-ca', 'nodes'),
      ['--node-server-name <name>', "name in nodes' certificates (default: their address's host)"],
      ...CALLS_CONTROL,
      TOKEN,
      ...SPANS,
    ],
    examples: `
  torus router --registry redis://127.0.0.1:6379 --control 127.0.0.1:8003`,
  },
  control: {
    about: 'start control: the admin API, and of all control processes one leader',
    flags: [
      ...STORES,
      ['--admin-port <port>', 'admin gRPC, torus/v1 (default 8003)'],
      ['--blob-port <port>', 'blobs over HTTP (default 8004)'],
      ASKED_TOKEN,
      ID,
    ],
    examples: `
  torus control ${SHARED} \\
      --blobs 's3://models?region=eu-central-1' --datasets postgres://torus@db/torus`,
  },
  gateway: {
    about: 'start a gateway: REST in front of a router and control',
    flags: [
      ['--http-port <port>', 'REST (default 8000)'],
      [
        '--router <addresses>',
        'HOST:PORT of a router, or several with commas between (default 127.0.0.1:8001)',
      ],
      ['--control <address>', 'HOST:PORT of control (default 127.0.0.1:8003)'],
      ['--blobs <url>', "control's blob listener, for uploads (default http://127.0.0.1:8004)"],
      authoritiesFlag('--router-ca', 'the router'),
      ...CALLS_CONTROL,
      [
        '--admin-token-file <file>',
        'tokens, one a line: asked of who calls /api; control is shown the first',
      ],
    ],
    examples: `
  torus gateway --router router-1:8001,router-2:8001 --control control:8003 \\
      --blobs http://control:8004`,
  },
  ingest: {
    about: 'start ingest: it takes import jobs, of data sets and of models',
    flags: [
      ...STORES,
      ['--data <dir>', 'files of running imports (default ./data-ingest)'],
      ...CALLS_CONTROL,
      TOKEN,
    ],
    examples: `
  torus ingest ${SHARED} \\
      --blobs 's3://models?region=eu-central-1' --datasets postgres://torus@db/torus`,
  },
  trainer: {
    about: 'start a trainer: it takes training jobs',
    flags: [
      ...STORES,
      ['--data <dir>', 'files of running jobs (default ./data-trainer)'],
      ...CALLS_CONTROL,
      TOKEN,
    ],
    examples: `
  torus trainer ${SHARED} \\
      --blobs 's3://models?region=eu-central-1' --datasets postgres://torus@db/torus`,
  },
};

const VARIABLES = 'Every flag may be given as a variable: --log-level as TORUS_LOG_LEVEL=info.';

/** Each is loaded when it is asked for. */
const STARTS: { readonly [R in RoleName]: () => Promise<StartRole<R>> } = {
  node: async () => (await import('../roles/node.ts')).runNode,
  router: async () => (await import('../roles/router.ts')).runRouter,
  control: async () => (await import('../roles/control.ts')).runControl,
  gateway: async () => (await import('../roles/gateway.ts')).runGateway,
  ingest: async () => (await import('../roles/ingest.ts')).runIngest,
  trainer: async () => (await import('../roles/trainer.ts')).runTrainer,
};

export function roleCommands(parent: Command): void {
  for (const role of Object.keys(COMMANDS) as RoleName[]) roleCommand(parent, role);
}

function roleCommand<R extends RoleName>(parent: Command, role: R): void {
  const { about, flags, examples } = COMMANDS[role];
  const command = parent.command(role).description(about);
  for (const [flag, text] of [...flags, ...COMMON]) {
    command.addOption(command.createOption(flag, text).env(variableOf(flag)));
  }
  command
    .option('--insecure', 'allow listeners off loopback without TLS')
    .addHelpText('after', `\n${VARIABLES}\n\nExamples:${examples}`)
    .action(async () => {
      const write = (text: string): boolean => process.stderr.write(text);
      const output = createOutput(false, (text) => process.stdout.write(text), write);
      try {
        const settings = readRoleSettings(role, serverFlags(command.opts(), ['insecure']));
        const { runRole } = await import('../roles/role-process.ts');
        await runRole(role, settings, await STARTS[role]());
      } catch (thrown) {
        process.exitCode = output.error(thrown);
      }
    });
}
