import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';

/** A session of ONNX Runtime, in a process that has hardly any environment; what it has open. */
const PROGRAM = `
  import { existsSync, readdirSync, readlinkSync } from 'node:fs';
  const { env } = process;
  await import(env.IMPORTED);
  const { default: ort } = await import('onnxruntime-node');
  await ort.InferenceSession.create(Buffer.from(env.MODEL, 'base64')).catch(() => {});
  const FILES = '/proc/self/fd';
  const open = existsSync(FILES) ? readdirSync(FILES) : [];
  const pathOf = (name) => {
    try {
      return readlinkSync(FILES + '/' + name);
    } catch {
      return '';
    }
  };
  console.log(open.map(pathOf).filter((path) => path.includes(env.HOME)).length);
`;

/** Files in its home that the runtime holds open: three, where it may. */
function openFilesAtHome(): number {
  const home = mkdtempSync(join(tmpdir(), 'torus-telemetry-'));
  try {
    const env = {
      HOME: home,
      MODEL: '',
      IMPORTED: new URL('./no-telemetry.ts', import.meta.url).href,
    };
    const args = ['--input-type=module', '-e', PROGRAM];
    const cwd = new URL('..', import.meta.url);
    const { stdout, stderr } = spawnSync(process.execPath, args, { env, cwd });
    const text = String(stdout).trim();
    if (!/^\d+$/.test(text)) throw new Error(`${text}${String(stderr)}`);
    return Number(text);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

test('ONNX Runtime keeps no store of events to send', (t) => {
  t.is(openFilesAtHome(), 0);
});
