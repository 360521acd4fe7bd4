// Memory that loads and unloads leave behind. Counted in a process of its own, so that nothing else
// that tests do is in the numbers.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { mlpModel } from '../../test/support/tiny-onnx.ts';

const CYCLES = 100;
const SETTLED_AFTER = 10;
const MAX_GROWTH_RATIO = 1.05;
/** One second where nothing else runs. */
const TIMEOUT_MS = 60_000;

test(`${CYCLES} loads and unloads of a model grow the process by 5% at most`, async (t) => {
  t.timeout(TIMEOUT_MS);
  const folder = mkdtempSync(join(tmpdir(), 'torus-cycles-'));
  const modelPath = join(folder, 'model.onnx');
  writeFileSync(modelPath, mlpModel());
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    import { createLoadModel } from ${url('./load-model.ts')};
    import { fp32, requestOf } from ${url('../../test/support/infer-requests.ts')};
    const loadModel = createLoadModel();
    const modelPath = ${JSON.stringify(modelPath)};
    const rss = [];
    for (let cycle = 1; cycle <= ${CYCLES}; cycle++) {
      const model = await loadModel({ model: 'm', version: cycle, modelPath, maxBatchSize: 8 });
      const request = requestOf([fp32('x', [1, 16], Array(16).fill(cycle))], 1);
      model.submit(request);
      const { error } = await request.answer;
      if (error !== undefined) throw error;
      await model.stop();
      globalThis.gc();
      rss.push(process.memoryUsage.rss());
    }
    console.log(JSON.stringify(rss));
  `;
  const args = ['--expose-gc', '--input-type=module', '-e', program];
  const child = spawn(process.execPath, args, { cwd: folder });
  t.teardown(() => child.kill('SIGKILL'));
  const [out, problems] = await Promise.all([text(child.stdout), text(child.stderr)]);
  rmSync(folder, { recursive: true, force: true });
  t.is(problems, '');
  const rss = JSON.parse(out) as number[];
  t.is(rss.length, CYCLES);
  const mebibytes = rss.map((bytes) => Math.round(bytes / 2 ** 20));
  t.log(mebibytes.filter((_, cycle) => cycle % 10 === 9).join(' '));
  const settled = Math.max(...rss.slice(SETTLED_AFTER - 5, SETTLED_AFTER));
  const last = Math.min(...rss.slice(-5));
  t.true(last <= settled * MAX_GROWTH_RATIO, `RSS in MiB, every cycle: ${mebibytes.join(' ')}`);
});
