// Generated code from the contracts in proto/: lints our own API, writes proto/gen/. With --check
// it changes nothing and fails when proto/gen/ is not what the contracts give.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const GENERATED = join('proto', 'gen');
/** Descriptors of all contracts, with imports: what the reflection service answers from. */
const DESCRIPTORS = join(GENERATED, 'descriptors.binpb');

const buf = (...args: string[]): void => {
  execFileSync(join(ROOT, 'node_modules', '.bin', 'buf'), args, { cwd: ROOT, stdio: 'inherit' });
};

/** Writes proto/gen/ as the contracts give it now, under `base`. */
const generate = (base: string): void => {
  buf('generate', 'proto', '--template', join('proto', 'buf.gen.yaml'), '-o', base);
  const out = join(base, DESCRIPTORS);
  buf('build', 'proto', '--as-file-descriptor-set', '--exclude-source-info', '-o', out);
};

const filesUnder = (folder: string): Map<string, Buffer> => {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), readFileSync(path)]),
  );
};

/** Paths whose content differs, or that only one side has. */
const differences = (kept: Map<string, Buffer>, fresh: Map<string, Buffer>): string[] =>
  [...new Set([...kept.keys(), ...fresh.keys()])]
    .filter((path) => {
      const [before, after] = [kept.get(path), fresh.get(path)];
      return before === undefined || after === undefined || !before.equals(after);
    })
    .sort();

const main = (): number => {
  const check = process.argv.includes('--check');
  buf('lint', 'proto');
  const kept = join(ROOT, GENERATED);
  const base = mkdtempSync(join(check ? tmpdir() : join(ROOT, 'proto'), 'torus-proto-'));
  try {
    generate(base);
    const fresh = join(base, GENERATED);
    const files = filesUnder(fresh);
    if (check) {
      const stale = differences(filesUnder(kept), files);
      if (stale.length === 0) return 0;
      console.error(`proto/gen/ is stale, run npm run proto: ${stale.join(', ')}`);
      return 1;
    }
    rmSync(kept, { recursive: true, force: true });
    renameSync(fresh, kept);
    console.log(`proto/gen/: ${files.size} files written`);
    return 0;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
};

process.exitCode = main();
