import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { runCommand } from './command.ts';
import { checkPlatform, checkPrograms, findTfjsNode } from './toolchain.ts';

test('programs that are missing are named all at once, with where they come from', async (t) => {
  const run = async ({ program }: { program: string }) => {
    if (program === 'g++' || program === 'unzip') throw new Error('no such file');
  };
  const error = await t.throwsAsync(checkPrograms(undefined, run), { instanceOf: StatusError });
  t.is(error?.code, Code.FAILED_PRECONDITION);
  t.regex(error?.message ?? '', /g\+\+ --version \(comes with the package g\+\+\); unzip -v/);
  t.notRegex(error?.message ?? '', /npm|pip/);
  await t.notThrowsAsync(checkPrograms(undefined, async () => {}));
});

test('a platform without the library is refused, training goes on without', (t) => {
  t.notThrows(() => checkPlatform('linux', 'x64'));
  const error = t.throws(() => checkPlatform('linux', 'arm64'), { message: /linux x64 only/ });
  t.like(error, { code: Code.UNIMPLEMENTED });
});

test('only a folder with a whole install counts as one', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'torus-toolchain-'));
  t.teardown(() => rm(directory, { recursive: true }));
  t.is(findTfjsNode(undefined), undefined);
  t.is(findTfjsNode(directory), undefined);
  await writeFile(join(directory, 'tfjs-node.cjs'), '');
  t.is(findTfjsNode(directory), join(directory, 'tfjs-node.cjs'));
});

test('a command that fails says how, and its last words; none is left running', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'torus-command-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const node = (source: string) => ({ program: process.execPath, args: ['-e', source], directory });
  await runCommand(node("require('node:fs').writeFileSync('made', '')"));
  t.deepEqual(await readdir(directory), ['made']);
  await t.throwsAsync(runCommand(node("console.error('disk full'); process.exit(3)")), {
    message: /-e ended with exit code 3: disk full/,
  });
  await t.throwsAsync(runCommand({ program: 'no-such-program', args: ['x'], directory }), {
    message: /no-such-program x can't be run: .*ENOENT/,
  });
  const stop = new AbortController();
  const running = runCommand({ ...node('setInterval(() => {}, 1e6)'), signal: stop.signal });
  stop.abort(new Error('enough'));
  await t.throwsAsync(running, { message: 'enough' });
});
