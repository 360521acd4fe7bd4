import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Code, StatusError } from '../../common/status.ts';
import { lockDataFolder } from './data-lock.ts';

function folder(t: { teardown(fn: () => void): void }): string {
  const made = mkdtempSync(join(tmpdir(), 'torus-lock-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return join(made, 'data');
}

test('a locked folder is refused, naming the holder, and free again once released', (t) => {
  const data = folder(t);
  const lock = lockDataFolder(data);
  const error = t.throws(() => lockDataFolder(data));
  t.true(error instanceof StatusError && error.code === Code.FAILED_PRECONDITION);
  t.true(error.message.includes(`process ${process.pid}`));
  lock.release();
  lockDataFolder(data).release();
});

test('a holder that was killed leaves no lock behind', async (t) => {
  const data = folder(t);
  const script = `
    const { lockDataFolder } = await import(${JSON.stringify(
      new URL('./data-lock.ts', import.meta.url).href,
    )});
    lockDataFolder(${JSON.stringify(data)});
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  t.throws(() => lockDataFolder(data), { message: new RegExp(`process ${child.pid}`) });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
  lockDataFolder(data).release();
  t.pass();
});

test('folders above are made too', (t) => {
  lockDataFolder(join(folder(t), 'deep', 'er')).release();
  t.pass();
});

test('a folder that cannot be made is a typed error that says what to do', (t) => {
  const data = folder(t);
  const file = `${data}-file`;
  writeFileSync(file, '');
  const error = t.throws(() => lockDataFolder(join(file, 'inside')));
  t.true(error instanceof StatusError && error.code === Code.PERMISSION_DENIED);
  t.regex(error.message, /--data DIR/);
  t.throws(() => lockDataFolder(file), { message: /--data DIR/ });
  // There the system says that a folder is missing although it is not: mkdir must not try for ever.
  if (process.platform !== 'linux') return;
  const foreign = t.throws(() => lockDataFolder('/proc/torus/data'));
  t.true(foreign instanceof StatusError && foreign.code === Code.PERMISSION_DENIED);
});
