// torus toolchain: native accelerators that `npm ci` can't bring, built in place.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { invalidArgument } from '../../common/status.ts';
import { createOutput } from '../client/output.ts';
import { startProgress } from '../client/progress.ts';

const EXAMPLES = `
Needs npm, pip and g++ on the PATH, about 1.2 GB of disk, and a minute.

Examples:
  torus toolchain install tfjs-node            TensorFlow's C library: faster convolutions
  torus toolchain install tfjs-node --gpu      the build for NVIDIA GPUs`;

export function toolchainCommand(parent: Command): void {
  const toolchain = parent.command('toolchain').description('native accelerators, built in place');
  const install = toolchain
    .command('install <name>')
    .description('download and build one: tfjs-node')
    .option('--gpu', 'the build for NVIDIA GPUs')
    .addOption(
      toolchain
        .createOption('--data <dir>', 'data folder of the trainer that is to use it')
        .default('./data')
        .env('TORUS_DATA'),
    )
    .addHelpText('after', EXAMPLES);
  install.action(async (name: string) => {
    const write = (text: string): boolean => process.stderr.write(text);
    const output = createOutput(false, (text) => process.stdout.write(text), write);
    try {
      if (name !== 'tfjs-node') throw invalidArgument(`no toolchain '${name}': there is tfjs-node`);
      const { gpu, data } = install.opts<{ gpu?: boolean; data: string }>();
      const { installTfjsNode } = await import('../../trainer/toolchain.ts');
      const progress = startProgress('install', { stream: process.stderr, isQuiet: false });
      try {
        const directory = resolve(data, 'toolchain');
        const onProgress = (step: string, index: number, count: number) =>
          progress.update(index / count, step);
        await installTfjsNode({ gpu: gpu === true, directory, onProgress });
      } finally {
        progress.stop();
      }
      output.say('installed; training jobs use it from now on');
    } catch (thrown) {
      process.exitCode = output.error(thrown);
    }
  });
}
