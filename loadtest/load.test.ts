import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { nodeScript, startContender } from './contender.ts';
import { TINY_MLP, writeTinyRepository } from './tiny-mlp.ts';

const SCRIPT = fileURLToPath(new URL('load.ts', import.meta.url));

async function load(...args: string[]) {
  const child = spawn(process.execPath, [SCRIPT, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

test('both loops against a node: counts, rate and latencies', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-load-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeTinyRepository(folder);
  const node = await startContender({
    name: 'node',
    command: nodeScript('lone-node.ts', [folder]),
  });
  t.teardown(() => node.stop());
  const at = ['--address', `127.0.0.1:${node.port}`, '--model', TINY_MLP, '--rows', '2'];
  const open = await load(...at, '--rate', '10', '--seconds', '1', '--json');
  t.is(open.code, 0, open.stderr);
  const report = JSON.parse(open.stdout);
  t.true(report.sent === 9 || report.sent === 10, open.stdout);
  t.like(report, { ok: report.sent, dropped: 0, failed: {} });
  const closed = await load(...at, '--in-flight', '4', '--seconds', '0.3');
  t.is(closed.code, 0, closed.stderr);
  t.regex(closed.stdout, /^(\d+) of \1 calls answered well.*\nlatency: mean .* p99 /);
  const unknown = await load(...at.slice(0, 2), '--model', 'other');
  t.is(unknown.code, 1);
  t.regex(unknown.stderr, /'other': NOT_FOUND/);
});

test('wrong flags are all told, with exit code 64', async (t) => {
  const wrong = await load('--model', 'm', '--rate', 'x', '--seconds', '1e9');
  t.is(wrong.code, 64);
  t.regex(wrong.stderr, /rate: .*\nseconds: /);
  t.is((await load()).code, 64);
});
