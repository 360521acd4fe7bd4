// The command line of Torus: its commands, their help, their exit codes. Each command's code is
// loaded when it is asked for, so that --help and client commands start fast.
import { Command, CommanderError } from 'commander';
import { EXIT_USAGE } from './client/output.ts';
import { datasetCommand } from './commands/dataset.ts';
import { jobsCommand } from './commands/jobs.ts';
import { modelCommand } from './commands/model.ts';
import { predictCommand } from './commands/predict.ts';
import { statusCommand } from './commands/status.ts';
import { toolchainCommand } from './commands/toolchain.ts';
import { trainCommand } from './commands/train.ts';
import { upCommand } from './commands/up.ts';
import { VERSION } from './up/version.ts';

const OVERVIEW = `
Start here:
  torus up --demo          train, publish and serve two models, and stay up
  torus status             what runs where
  torus predict --help     call a model from the command line

Exit codes: 0 done, 64 wrong usage, 69 the server can't be reached, 1 anything else.`;

function buildProgram(): Command {
  const program = new Command('torus')
    .description('A gRPC inference cluster: add data, train models, serve predictions.')
    .version(VERSION)
    // After a command's name its own --version counts: torus predict digits --version 2.
    .enablePositionalOptions()
    .showHelpAfterError("(add --help for the command's options and examples)")
    .addHelpText('after', OVERVIEW)
    .exitOverride();
  upCommand(program);
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

/**
 * Whoever reads our output may leave first, as in `torus up --help | head -3`. A command then has
 * nothing more to do; a server serves on.
 */
function outliveReaders(isServer: boolean): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (!isServer) process.exit();
    });
  }
}

/** Runs a command line (without node and script). Sets process.exitCode; does not exit. */
export async function runProgram(args: readonly string[]): Promise<void> {
  outliveReaders(args[0] === 'up');
  const program = buildProgram();
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    process.exitCode = thrown.exitCode === 0 ? 0 : EXIT_USAGE;
  }
}
