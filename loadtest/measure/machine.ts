// What a bench ran on, as far as its figures depend on it; nothing that names the machine.
import { execFile } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

async function firstLine(program: string, ...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) => {
      const line = `${stdout}${stderr}`.split('\n')[0]?.trim() ?? '';
      resolve(error === null && line !== '' ? line : `no ${program}`);
    });
  });
}

/** One line each. */
export async function describeMachine(): Promise<readonly string[]> {
  const all = cpus();
  const gibibytes = Math.round(totalmem() / 1024 ** 3);
  const [rust, go, h2load] = await Promise.all([
    firstLine('rustc', '--version'),
    firstLine('go', 'version'),
    firstLine('h2load', '--version'),
  ]);
  const kernel = release().split(/[-+]/)[0] ?? '';
  return [
    `${all.length} cores, ${all[0]?.model.trim() ?? 'unknown'}, ${gibibytes} GiB; Linux ${kernel}`,
    `Node ${process.versions.node}; ${rust}; ${go}; ${h2load}`,
  ];
}
