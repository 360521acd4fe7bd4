// The house rules that a program can check. Each failure names the file and what would be right.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import test from 'ava';

const FILE_LINES_CEILING = 400;
const LINE_CEILING = 100;
const BANNED_NAMES =
  /^(common|types|interfaces|index)\.ts$|(^|-)(utils?|helpers?|managers?|misc)(-|\.)/;
/** Folders are parts of the system, never kinds of code. */
const BANNED_FOLDERS = /(^|\/)(utils?|helpers?|managers?|misc|types|interfaces|classes|lib)\//;
const ROLES = ['router', 'server', 'control', 'ingest', 'trainer', 'gateway'];

/** What a folder may import besides itself; see the layout in docs/ARCHITECTURE.md. */
const BELOW: Record<string, readonly string[]> = {
  common: [],
  proto: ['common'],
  transport: ['common', 'proto'],
  registry: ['common', 'proto', 'transport'],
  stores: ['common', 'proto', 'transport'],
  model: ['common', 'proto', 'transport', 'registry', 'stores'],
  catalog: ['common', 'proto', 'transport', 'registry', 'stores', 'model'],
};
const FOUNDATION = [...Object.keys(BELOW)];
for (const role of ROLES) BELOW[role] = FOUNDATION;
BELOW.cli = [...FOUNDATION, ...ROLES, 'loadtest'];
BELOW.loadtest = [...FOUNDATION, ...ROLES, 'cli'];
BELOW.scripts = [...FOUNDATION];
BELOW.test = [...FOUNDATION, ...ROLES, 'cli', 'loadtest', 'scripts'];

/** Files without a unit test beside them or in their folder, each with its reason. */
const UNTESTED: Record<string, string> = {
  'ingest/ingest.ts': 'puts tested parts together; every test of the whole imports with it',
  'transport/services/descriptors.ts': 'reads one file; reflection is tested with it in router/',
  'loadtest/load.ts': 'load.test.ts runs it as a process',
  'scripts/lock.ts': 'runs against package-lock.json only; npm ci fails when it is wrong',
  'scripts/test.ts': 'every test run is its test',
  'scripts/proto.ts': 'proto/gen.test.ts runs it as a process of its own',
  'scripts/check.ts': 'every check is its test',
  'loadtest/backend-bench.ts': 'a run of a minute, by hand; what it drives is tested',
  'loadtest/lone-node.ts': 'started by name in contender.test.ts',
  'loadtest/rivals/grpcjs-echo.ts': 'started by name in contender.test.ts',
  'loadtest/rivals/http2-echo.ts': 'started by name in contender.test.ts',
  'loadtest/servers/echo.ts': 'started by name in contender.test.ts',
  'loadtest/servers/router.ts': 'started by name; routing.ts',
  'loadtest/servers/flags.ts': 'the servers that contender.test.ts starts read theirs by it',
  'loadtest/servers/ours.ts': 'the servers that contender.test.ts starts listen by it',
  'loadtest/servers/control-lines.ts': 'contender.test.ts asks servers by it',
  'loadtest/crowd.ts': 'a process of the bench; its client is tested in lean-client.test.ts',
  'test/chaos/chaos.ts': 'a run of minutes: npm run chaos; its parts are tested',
  'test/conformance/conformance.ts': 'a run of minutes: npm run conformance; its parts are tested',
  'test/conformance/judging-tools.ts': 'installs what npm run conformance needs',
  'test/conformance/running-torus.ts': 'starts what npm run conformance judges',
  'test/floods/floods.ts': 'a run of minutes: npm run floods; its parts are tested',
  'test/scale/scale.ts': 'a run of a minute: npm run scale; what it drives is tested',
  'test/sim/planted-hunt.ts': 'a run of seconds a bug: npm run sim -- --planted',
  'test/sim/reports.ts': 'what npm run sim prints',
  'test/sim/sim.ts': 'a run of minutes: npm run sim; its parts are tested',
  'trainer/child.ts': 'training-process.test.ts and trainer.test.ts run it as a process',
};

/** Time and randomness come in by parameter there. */
const PURE_FOLDERS = ['catalog/', 'control/', 'model/', 'proto/', 'router/', 'server/batcher/'];
/** Shells in those folders, each with its reason. */
const IMPURE: Record<string, string> = {
  'catalog/jobs.ts': "a job's id is random",
  'control/leader.ts': 'each start of it is another owner of the lease',
  'control/planner-worker.ts': 'a thread of its own has a clock of its own',
};

function tracked(pattern: string): readonly string[] {
  const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', pattern], {
    encoding: 'utf8',
  });
  if (listed.status !== 0) throw new Error(`git ls-files failed: ${listed.stderr}`);
  return listed.stdout.split('\n').filter((path) => path !== '' && existsSync(path));
}

const isGenerated = (path: string): boolean => path.startsWith('proto/gen/');
const sources = tracked('*.ts').filter((path) => !isGenerated(path));
const contents = new Map(sources.map((path) => [path, readFileSync(path, 'utf8')]));

const isTest = (path: string): boolean => /\.(test|contract)\.ts$/.test(path);
const folderOf = (path: string): string => path.split('/')[0] ?? '';

function importsOf(path: string): readonly string[] {
  const text = contents.get(path) ?? '';
  const from = /(?:^|\s)(?:import|export)\s(?:[^'"`;]*?from\s+)?'(\.[^']+)'|import\('(\.[^']+)'\)/g;
  return [...text.matchAll(from)].map((found) =>
    normalize(join(dirname(path), found[1] ?? found[2] ?? '')),
  );
}

/** What a file starts as a process or a thread: `new URL('./x.ts', import.meta.url)`. */
function startedBy(path: string): readonly string[] {
  const pattern = /new URL\(\s*'(\.[^']+\.ts)',\s*import\.meta\.url/g;
  return [...(contents.get(path) ?? '').matchAll(pattern)].map((found) =>
    normalize(join(dirname(path), found[1] ?? '')),
  );
}

test('imports go one way between folders', (t) => {
  const wrong: string[] = [];
  for (const path of sources) {
    for (const target of importsOf(path)) {
      const [from, to] = [folderOf(path), folderOf(target)];
      if (from === to || BELOW[from]?.includes(to) === true) continue;
      if (isTest(path) && to === 'test') continue;
      wrong.push(`${path} imports ${target}: ${from}/ may import ${BELOW[from]?.join(', ')}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('files stay under their ceiling, lines under 100 columns', (t) => {
  const wrong: string[] = [];
  for (const [path, text] of contents) {
    const lines = text.split('\n');
    if (lines.length - 1 > FILE_LINES_CEILING) wrong.push(`${path}: ${lines.length - 1} lines`);
    lines.forEach((line, at) => {
      if (line.length <= LINE_CEILING || /https?:\/\/\S{60}/.test(line)) return;
      wrong.push(`${path}:${at + 1}: ${line.length} columns`);
    });
  }
  t.deepEqual(wrong, []);
});

test('functions stay under 70 lines, and nothing looks away from the rules', (t) => {
  const config = JSON.parse(readFileSync('biome.json', 'utf8')) as {
    linter: { rules: Record<string, Record<string, unknown>> };
  };
  t.like(config.linter.rules.complexity, {
    noExcessiveLinesPerFunction: { level: 'error', options: { maxLines: 70 } },
  });
  const escapes = /@ts-(ignore|expect-error|nocheck)|biome-ignore|\bas any\b|: any\b/;
  const passedOver = /\btest(\.serial)?\.(skip|only|todo|failing)\b/;
  const wrong = sources.filter((path) => {
    const text = contents.get(path) ?? '';
    return path !== 'test/tidy.test.ts' && (escapes.test(text) || passedOver.test(text));
  });
  t.deepEqual(wrong, []);
  const only = '--only=complexity/noExcessiveLinesPerFunction';
  const lint = spawnSync('node_modules/.bin/biome', ['lint', only, '.'], { encoding: 'utf8' });
  t.is(lint.status, 0, lint.stdout + lint.stderr);
});

test('files are named after their idea, and their first words say why they exist', (t) => {
  const wrong: string[] = [];
  for (const path of sources) {
    const name = basename(path);
    if (BANNED_FOLDERS.test(path)) wrong.push(`${path}: a folder is a part of the system`);
    if (BANNED_NAMES.test(name)) wrong.push(`${path}: a name that says nothing`);
    if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|contract))?\.ts$/.test(name)) {
      wrong.push(`${path}: names are lower case with hyphens`);
    }
    const opens = /^(#!.*\n)?(\/\/|\/\*)/.test(contents.get(path) ?? '');
    if (!isTest(path) && !opens) wrong.push(`${path}: no opening comment`);
  }
  t.deepEqual(wrong, []);
});

/** All that these files import and start, and what that imports and starts in turn. */
function reachedFrom(starts: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const target of [...importsOf(path), ...startedBy(path)]) {
      if (contents.has(target)) visit(target);
    }
  };
  for (const path of starts) visit(path);
  return reached;
}

/** Whose tests count for a folder: its own; the commands are run by the tests of the whole. */
function testedBy(folder: string): (path: string) => boolean {
  if (folder === 'test') return () => true;
  return (path) =>
    folderOf(path) === folder || (folder === 'cli' && path.startsWith('test/whole/'));
}

test('every file is reached by a unit test of its folder, or named with a reason', (t) => {
  const missing: string[] = [];
  const needless: string[] = [];
  for (const folder of new Set(sources.map(folderOf))) {
    const reached = reachedFrom(sources.filter(isTest).filter(testedBy(folder)));
    for (const path of sources.filter((one) => folderOf(one) === folder)) {
      if (reached.has(path) === (UNTESTED[path] === undefined)) continue;
      (reached.has(path) ? needless : missing).push(path);
    }
  }
  t.deepEqual(missing, []);
  t.deepEqual(needless, [], 'named in UNTESTED but reached');
  const gone = Object.keys(UNTESTED).filter((path) => !contents.has(path));
  t.deepEqual(gone, [], 'named in UNTESTED but not there');
});

test('decisions are pure: no timers, clocks of the system or randomness of their own', (t) => {
  const impure = /\b(setTimeout|setInterval|setImmediate|Date\.now|new Date\(\)|Math\.random)\b/;
  const clock = /\b(performance\.now|systemClock|randomUUID|randomBytes)\b/;
  const wrong = sources.filter((path) => {
    if (isTest(path) || IMPURE[path] !== undefined) return false;
    if (!PURE_FOLDERS.some((folder) => path.startsWith(folder))) return false;
    const text = contents.get(path) ?? '';
    return impure.test(text) || clock.test(text);
  });
  t.deepEqual(wrong, []);
});

test('no build leftovers, machine paths or download addresses in what is tracked', (t) => {
  const texts = tracked('*').filter((path) =>
    /\.(ts|cjs|json|md|sh|lua|proto|yml|yaml)$/.test(path),
  );
  const wrong: string[] = [];
  for (const path of texts) {
    if (path === 'test/tidy.test.ts') continue;
    const text = readFileSync(path, 'utf8');
    if (/(^|[\s"'`=(])\/(work|root|home)\/[A-Za-z0-9._]/m.test(text)) wrong.push(`${path}: path`);
    if (path === 'package-lock.json' && text.includes('"resolved"')) wrong.push(`${path}: address`);
  }
  t.deepEqual(wrong, []);
});
