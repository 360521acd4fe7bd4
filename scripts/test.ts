// npm test: runs AVA over the tests given (default: all), prints failures whole, skips with their
// reason, the slowest files, and one closing line 'N passed, N failed'. Exit 1 when any failed.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const SLOWEST_SHOWN = 5;
interface Tally {
  passed: number;
  failed: number;
  skips: string[];
  failures: string[];
  /** Moment at which a file's latest test ended, and its first was seen. */
  files: Map<string, { firstMs: number; lastMs: number; count: number }>;
}

/** Takes in one line of AVA's TAP output (testanything.org, version 13). */
function takeLine(tally: Tally, line: string, nowMs: number): void {
  const point = /^(ok|not ok) \d+ - (.*?)(?: # SKIP(.*))?$/.exec(line);
  if (point === null) {
    const skip = /^#\s+skipped: (.*)$/.exec(line);
    if (skip !== null) tally.skips.push(`${tally.skips.length + 1}. ${skip[1] ?? ''}`);
    else if (tally.failures.length > 0 && /^\s+\S/.test(line)) tally.failures.push(line);
    return;
  }
  const title = point[2] ?? '';
  if (point[1] === 'not ok') {
    tally.failed += 1;
    tally.failures.push(`not ok: ${title}`);
  } else {
    tally.passed += 1;
  }
  const file = title.split(' › ').slice(0, -1).join('/');
  const seen = tally.files.get(file);
  tally.files.set(file, {
    firstMs: seen?.firstMs ?? nowMs,
    lastMs: nowMs,
    count: (seen?.count ?? 0) + 1,
  });
}

function report(tally: Tally, startMs: number, crashed: boolean): void {
  if (tally.failures.length > 0) console.log(`\n${tally.failures.join('\n')}`);
  if (tally.skips.length > 0) console.log(`\nskipped:\n${tally.skips.join('\n')}`);
  const slow = [...tally.files].sort(
    ([, a], [, b]) => b.lastMs - b.firstMs - (a.lastMs - a.firstMs),
  );
  console.log('\nslowest files (first to last test):');
  for (const [file, { firstMs, lastMs, count }] of slow.slice(0, SLOWEST_SHOWN)) {
    console.log(`  ${((lastMs - firstMs) / 1000).toFixed(1)} s  ${file} (${count} tests)`);
  }
  console.log(`\n${tally.files.size} files in ${((Date.now() - startMs) / 1000).toFixed(0)} s`);
  if (crashed) console.log('AVA ended with an error of its own, see above');
  console.log(`${tally.passed} passed, ${tally.failed + (crashed ? 1 : 0)} failed`);
}

const startMs = Date.now();
const tally: Tally = { passed: 0, failed: 0, skips: [], failures: [], files: new Map() };
const args = ['node_modules/ava/entrypoints/cli.js', '--tap'];
const ava = spawn(process.execPath, [...args, ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ava.kill(signal));
const exited = new Promise<number>((resolve) => ava.on('exit', (code) => resolve(code ?? 1)));
let lastShownMs = startMs;
for await (const line of createInterface({ input: ava.stdout })) {
  const nowMs = Date.now();
  takeLine(tally, line, nowMs);
  if (nowMs - lastShownMs >= 10_000) {
    lastShownMs = nowMs;
    console.log(`${Math.round((nowMs - startMs) / 1000)} s: ${tally.passed} passed so far`);
  }
}
const code = await exited;
const crashed = code !== 0 && tally.failed === 0;
report(tally, startMs, crashed);
process.exitCode = tally.failed > 0 || crashed || tally.passed === 0 ? 1 : 0;
