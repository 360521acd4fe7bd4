import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { leanStart } from './lean-process.ts';

const FLAGS = [
  '--max-semi-space-size=8',
  '--heap-growing-percent=100',
  '--no-parallel-scavenge',
  '--expose-gc',
];
const LINUX = { platform: 'linux', env: { HOME: '/h' }, execArgv: ['--inspect'] };

test('on Linux the process starts again once, with what it had', (t) => {
  const start = leanStart(LINUX);
  t.deepEqual(start, {
    execArgv: ['--inspect', ...FLAGS],
    env: {
      HOME: '/h',
      GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1',
      MALLOC_MMAP_THRESHOLD_: '2097152',
      MALLOC_TRIM_THRESHOLD_: '1048576',
    },
  });
  t.is(leanStart({ ...LINUX, ...start }), undefined);
  t.is(leanStart({ ...LINUX, platform: 'darwin' }), undefined);
});

test('what somebody has set stays', (t) => {
  t.is(leanStart({ ...LINUX, env: { MALLOC_MMAP_THRESHOLD_: '65536' } }), undefined);
  const env = {
    NODE_OPTIONS: '--max_semi_space_size=32',
    MALLOC_TRIM_THRESHOLD_: '1',
    GLIBC_TUNABLES: '',
  };
  const start = leanStart({ ...LINUX, env });
  t.deepEqual(start?.execArgv, ['--inspect', ...FLAGS.slice(1)]);
  t.is(start?.env.MALLOC_TRIM_THRESHOLD_, '1');
  t.is(start?.env.GLIBC_TUNABLES, '');
});

test('it is the same process, and its arguments are the same', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'torus-lean-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const main = join(folder, 'main.ts');
  const url = JSON.stringify(new URL('./lean-process.ts', import.meta.url).href);
  const program = `
    import { startLean } from ${url};
    console.log(process.pid, process.argv.slice(2).join('|'), process.execArgv.length);
    startLean(import.meta.filename, process.argv.slice(2));
    console.log(process.env.MALLOC_MMAP_THRESHOLD_);
  `;
  await writeFile(main, program);
  const env = { PATH: process.env.PATH };
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'up', '--a b'], { env });
  t.is(String(stderr), '');
  const lines = String(stdout).trim().split('\n');
  if (process.platform !== 'linux') t.is(lines.length, 2);
  else {
    const [pid = ''] = lines[0]?.split(' ') ?? [];
    t.deepEqual(lines, [`${pid} up|--a b 0`, `${pid} up|--a b ${FLAGS.length}`, '2097152']);
  }
});
