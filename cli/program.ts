// The command line of Torus: its commands, their help, their exit codes. Each command's code is
// loaded when it is asked for, so that --help and client commands start fast.
import { Command, CommanderError } from 'commander';
import { invalidArgument } from '../common/status.ts';
import { createOutput, EXIT_USAGE } from './client/output.ts';
import { outliveReaders } from './client/readers.ts';
import { datasetCommand } from './commands/dataset.ts';
import { jobsCommand } from './commands/jobs.ts';
import { modelCommand } from './commands/model.ts';
import { predictCommand } from './commands/predict.ts';
import { roleCommands } from './commands/roles.ts';
import { statusCommand } from './commands/status.ts';
import { toolchainCommand } from './commands/toolchain.ts';
import { trainCommand } from './commands/train.ts';
import { upCommand } from './commands/up.ts';
import { isServer } from './servers.ts';
import { VERSION } from './up/version.ts';

const OVERVIEW = `
Start here:
  torus up --demo          train, publish and serve two models, and stay up
  torus status             what runs where
  torus predict --help     call a model from the command line

Exit codes: 0 done, 64 wrong usage, 69 the server can't be reached, 1 anything else.`;

/** @param isJson usage errors are printed by who runs the program, not by Commander as text. */
function buildProgram(isJson: boolean): Command {
  const program = new Command('torus')
    .configureOutput(isJson ? { writeErr: () => undefined } : {})
    .description('A gRPC inference cluster: add data, train models, serve predictions.')
    .version(VERSION)
    // After a command's name its own --version counts: torus predict digits --version 2.
    .enablePositionalOptions()
    .showHelpAfterError("(add --help for the command's options and examples)")
    .addHelpText('after', OVERVIEW)
    .exitOverride();
  upCommand(program);
  roleCommands(program);
  datasetCommand(program);
  modelCommand(program);
  trainCommand(program);
  jobsCommand(program);
  predictCommand(program);
  statusCommand(program);
  toolchainCommand(program);
  inheritExit(program);
  return program;
}

/** Commander ends the process by itself unless every command is told not to. */
function inheritExit(command: Command): void {
  for (const child of command.commands) {
    child.exitOverride();
    inheritExit(child);
  }
}

/** --json before a '--', after which everything is an argument. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).includes('--json');
}

/** Runs a command line (without node and script). Sets process.exitCode; does not exit. */
export async function runProgram(args: readonly string[]): Promise<void> {
  outliveReaders(isServer(args[0]));
  const isJson = wantsJson(args);
  const program = buildProgram(isJson);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    process.exitCode = thrown.exitCode === 0 ? 0 : EXIT_USAGE;
    if (!isJson || thrown.exitCode === 0) return;
    const write = (text: string): boolean => process.stderr.write(text);
    createOutput(true, write, write).error(invalidArgument(thrown.message.replace(/^error: /, '')));
  }
}
