// The native TensorFlow.js backend: found where it was installed, and installed where it is wanted.
// It can't be a dependency, since its own install script downloads from elsewhere and fails on a
// current Node. Instead its parts come from npm and PyPI (the library out of TensorFlow's wheel),
// and its binding, two C++ files, is compiled here. Linux on x86-64 only.
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Code, failedPrecondition, StatusError } from '../common/status.ts';
import { type Command, runCommand } from './command.ts';

const TFJS_VERSION = '4.22.0';
const HEADERS_VERSION = '1.9.0';
/** Any from 2.12 to this one serves: the binding uses the C interface only. */
const TENSORFLOW_VERSION = '2.21.0';

/** Loading it registers the native backend; a folder that has it is a whole install. */
const ENTRY_FILE = 'tfjs-node.cjs';

/** The module to load for the native backend; undefined when it is not installed in `directory`. */
export function findTfjsNode(directory: string | undefined): string | undefined {
  if (directory === undefined) return undefined;
  const entry = join(resolve(directory), ENTRY_FILE);
  return existsSync(entry) ? entry : undefined;
}

export interface InstallOptions {
  /** With CUDA; it needs the CUDA libraries and a driver when it runs. */
  readonly gpu: boolean;
  /** Made new by the install; what is there before stays until that has succeeded. */
  readonly directory: string;
  /** Before each step, from 1. */
  readonly onProgress?: (step: string, index: number, count: number) => void;
  readonly signal?: AbortSignal;
}

interface Flavour {
  readonly npmPackage: string;
  readonly wheel: string;
}

interface Install extends Flavour {
  /** Where it is built, before it takes its place. */
  readonly root: string;
  /** Runs a program in root. */
  readonly run: (program: string, args: readonly string[]) => Promise<void>;
}

const STEPS: readonly (readonly [string, (install: Install) => Promise<void>])[] = [
  ['installing the npm package', installPackage],
  ['downloading TensorFlow', downloadWheel],
  ['unpacking its library and headers', unpackLibrary],
  ['compiling the binding', compileBinding],
  ['trying it', tryBackend],
];

/**
 * Takes about a minute and 1.1 GB (CPU) or 2 GB (GPU) of disk. Returns the module to load.
 * @throws FAILED_PRECONDITION naming the programs that are missing or the step that failed;
 *   UNIMPLEMENTED on another platform.
 */
export async function installTfjsNode(options: InstallOptions): Promise<string> {
  checkPlatform(process.platform, process.arch);
  const { onProgress = () => {}, signal } = options;
  const directory = resolve(options.directory);
  const root = `${directory}.partial`;
  await checkPrograms(signal);
  await rm(root, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const flavour: Flavour = options.gpu
    ? { npmPackage: 'tfjs-node-gpu', wheel: 'tensorflow' }
    : { npmPackage: 'tfjs-node', wheel: 'tensorflow-cpu' };
  const run = (program: string, args: readonly string[]) =>
    runCommand({ program, args, directory: root, ...(signal === undefined ? {} : { signal }) });
  try {
    for (const [index, [name, step]] of STEPS.entries()) {
      onProgress(name, index + 1, STEPS.length);
      await step({ ...flavour, root, run });
    }
    await rm(directory, { recursive: true, force: true });
    await mkdir(dirname(directory), { recursive: true });
    await rename(root, directory);
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }
  return join(directory, ENTRY_FILE);
}

/** @throws UNIMPLEMENTED where TensorFlow's wheel or the binding can't be had. */
export function checkPlatform(platform: string, arch: string): void {
  if (platform === 'linux' && arch === 'x64') return;
  throw new StatusError(
    Code.UNIMPLEMENTED,
    `the native TensorFlow.js can be installed on linux x64 only, this is ${platform} ${arch}: ` +
      'training goes on with the wasm backend',
  );
}

const PROGRAMS: readonly (readonly [program: string, args: string[], from: string])[] = [
  ['npm', ['--version'], 'Node.js'],
  ['python3', ['-m', 'pip', '--version'], 'the packages python3 and python3-pip'],
  ['g++', ['--version'], 'the package g++'],
  ['unzip', ['-v'], 'the package unzip'],
];

/** @throws FAILED_PRECONDITION naming all that are missing. */
export async function checkPrograms(
  signal?: AbortSignal,
  run: (command: Command) => Promise<void> = runCommand,
): Promise<void> {
  const missing: string[] = [];
  for (const [program, args, from] of PROGRAMS) {
    try {
      await run({ program, args, directory: '.', ...(signal === undefined ? {} : { signal }) });
    } catch {
      signal?.throwIfAborted();
      missing.push(`${[program, ...args].join(' ')} (comes with ${from})`);
    }
  }
  if (missing.length === 0) return;
  throw failedPrecondition(
    `the native TensorFlow.js is built with programs that don't work here: ${missing.join('; ')}`,
  );
}

function packageDirectory({ root, npmPackage }: Install): string {
  return join(root, 'node_modules', '@tensorflow', npmPackage);
}

async function installPackage({ root, npmPackage, run }: Install): Promise<void> {
  await writeFile(join(root, 'package.json'), '{"private":true}\n');
  const packages = [
    `@tensorflow/${npmPackage}@${TFJS_VERSION}`,
    `node-api-headers@${HEADERS_VERSION}`,
  ];
  // Its install script is what does not work.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  await run('npm', ['install', ...flags, ...packages]);
}

async function downloadWheel({ wheel, run }: Install): Promise<void> {
  const target = ['--python-version', '3.11', '--implementation', 'cp'];
  const platform = ['--platform', 'manylinux_2_27_x86_64'];
  const what = ['--no-deps', '--only-binary=:all:', ...target, ...platform, '-d', 'wheel'];
  const quiet = ['--quiet', '--disable-pip-version-check'];
  await run('python3', [
    ...['-m', 'pip', 'download', ...quiet, ...what],
    `${wheel}==${TENSORFLOW_VERSION}`,
  ]);
}

/** Of the wheel's 1 to 2 GB only the library and the headers of its C interface. */
const WHEEL_PARTS = [
  'tensorflow/libtensorflow_*',
  'tensorflow/include/tensorflow/c/*',
  'tensorflow/include/tensorflow/core/platform/ctstring*',
  'tensorflow/include/tsl/platform/ctstring*',
  'tensorflow/include/xla/tsl/c/*',
];

async function unpackLibrary(install: Install): Promise<void> {
  const { root, run } = install;
  const [wheel] = await readdir(join(root, 'wheel'));
  if (wheel === undefined) throw failedPrecondition('pip downloaded no TensorFlow wheel');
  await run('unzip', ['-q', '-o', join('wheel', wheel), ...WHEEL_PARTS, '-d', 'unpacked']);
  const unpacked = join(root, 'unpacked', 'tensorflow');
  const deps = join(packageDirectory(install), 'deps');
  await rm(deps, { recursive: true, force: true });
  await mkdir(join(deps, 'lib'), { recursive: true });
  await rename(join(unpacked, 'include'), join(deps, 'include'));
  for (const name of await readdir(unpacked)) {
    await rename(join(unpacked, name), join(deps, 'lib', name));
  }
  await rm(join(root, 'unpacked'), { recursive: true });
  await rm(join(root, 'wheel'), { recursive: true });
}

async function compileBinding(install: Install): Promise<void> {
  const { root, run } = install;
  const home = packageDirectory(install);
  const output = join(home, 'lib', 'napi-v8');
  await mkdir(output, { recursive: true });
  const flags = ['-O2', '-std=c++17', '-shared', '-fPIC', '-DNAPI_VERSION=8'];
  const includes = [
    join(root, 'node_modules', 'node-api-headers', 'include'),
    join(home, 'deps', 'include'),
    join(root, 'node_modules', '@tensorflow'),
  ].flatMap((path) => ['-I', path]);
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(home, 'binding', name));
  const libraries = ['-l:libtensorflow_cc.so.2', '-l:libtensorflow_framework.so.2'];
  // Found beside the binding wherever the folder is moved to.
  const where = ['-L', join(home, 'deps', 'lib'), '-Wl,-rpath,$ORIGIN/../../deps/lib'];
  const target = ['-o', join(output, 'tfjs_binding.node')];
  await run('g++', [...flags, ...includes, ...sources, ...where, ...libraries, ...target]);
}

/** It uses two functions that Node has dropped since; then it registers its backend. */
function entrySource(npmPackage: string): string {
  return [
    "'use strict';",
    "const util = require('node:util');",
    'util.isNullOrUndefined ??= (value) => value === null || value === undefined;',
    'util.isArray ??= Array.isArray;',
    `module.exports = require('@tensorflow/${npmPackage}');`,
    '',
  ].join('\n');
}

const TRIAL = `
  const tf = require(process.argv[1]);
  const sum = tf.tidy(() => tf.add(tf.tensor1d([1, 2]), 1).dataSync());
  if (tf.getBackend() !== 'tensorflow' || sum[1] !== 3) throw new Error('it computes nothing');
`;

async function tryBackend({ root, npmPackage, run }: Install): Promise<void> {
  const entry = join(root, ENTRY_FILE);
  await writeFile(entry, entrySource(npmPackage));
  await run(process.execPath, ['-e', TRIAL, entry]);
}
