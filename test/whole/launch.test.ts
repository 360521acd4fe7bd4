// The ways in which a person starts and ends torus: through npx or npm, under an older Node, with
// its output cut short, with Ctrl-C in a terminal.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { dataFolder, startTorus } from '../support/torus-process.ts';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const LAUNCHER = path('cli/torus.cjs');

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function node(args: readonly string[], isRead = true): Promise<Run> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  if (isRead) child.stdout.on('data', (chunk) => (stdout += chunk));
  else child.stdout.destroy();
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

test('the bin runs commands, and ends as they end', async (t) => {
  const help = await node([LAUNCHER, '--help']);
  t.is(help.code, 0, help.stderr);
  t.regex(help.stdout, /Usage: torus/);
  t.is((await node([LAUNCHER, 'nonsense'])).code, 64);
});

/** A script that makes the Node that requires it say that it is an older one. */
function olderNode(folder: string): string {
  const older = join(folder, 'older.cjs');
  const versions = "{ ...process.versions, node: '20.0.0' }";
  writeFileSync(older, `Object.defineProperty(process, 'versions', { value: ${versions} });`);
  return older;
}

function temporaryFolder(t: { teardown(fn: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'torus-launch-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('before npm ci, or without the Node that it brings, the bin says what to do', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'cli'));
  const bin = join(folder, 'cli', 'torus.cjs');
  cpSync(LAUNCHER, bin);
  const bare = await node([bin, '--help']);
  t.is(bare.code, 64);
  t.regex(bare.stderr, /^torus is not installed yet: run 'npm ci' in /);
  mkdirSync(join(folder, 'node_modules'));
  const old = await node(['--require', olderNode(folder), bin, '--help']);
  t.is(old.code, 64);
  t.regex(old.stderr, /^torus needs Node >= 24\.18\.1 and this is 20\.0\.0: run 'npm ci'/);
});

test('an older Node hands over to the one that npm brought', async (t) => {
  const older = olderNode(temporaryFolder(t));
  const help = await node(['--require', older, LAUNCHER, '--help']);
  t.is(help.code, 0, help.stderr);
  t.regex(help.stdout, /Usage: torus/);
  t.is((await node(['--require', older, LAUNCHER, 'nonsense'])).code, 64);
});

test('whoever reads the output may leave first', async (t) => {
  const help = await node([path('cli/main.ts'), 'up', '--help'], false);
  t.is(help.stderr, '');
  t.is((await node([path('cli/main.ts'), 'train', '--help'], false)).stderr, '');
  t.is((await node([path('loadtest/load.ts'), '--help'], false)).stderr, '');
});

test('a Ctrl-C that comes twice, from the terminal and from npm, still drains', async (t) => {
  const server = await startTorus({ data: await dataFolder(t) });
  t.teardown(async () => void (await server.end('SIGKILL')));
  process.kill(server.pid, 'SIGINT');
  t.is(await server.end('SIGINT'), 0, server.stderr());
  t.regex(server.stderr(), /^torus: stopping; .*\n$/);
});
