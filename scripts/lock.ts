// Completes package-lock.json after `npm install`: a registry mirror that lacks the packages of
// other platforms makes npm leave them out of the lock, and `npm ci` then refuses it. Their version
// is the one the parent names exactly; their platform is in their name. Also drops addresses.
import { readFileSync, writeFileSync } from 'node:fs';

interface Entry {
  version?: string;
  resolved?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'sunos', 'win32'];
const CPU = ['arm', 'arm64', 'armv7', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64', 'wasm32'];

/** What npm's own entry of such a package says, from the words of its name. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const words = name.replace(/^.*?\//, '').split(/[-_]/);
  const os = words.filter((word) => OS.includes(word));
  const cpu = words.filter((word) => CPU.includes(word)).map((w) => (w === 'armv7' ? 'arm' : w));
  const musl = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {};
  return { ...(os.length > 0 ? { os } : {}), ...(cpu.length > 0 ? { cpu } : {}), ...musl };
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: Record<string, Entry>;
};
let added = 0;
for (const [, entry] of Object.entries(lock.packages)) {
  delete entry.resolved;
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    const platform = platformOf(name);
    if (lock.packages[path] !== undefined || !/^\d/.test(range) || !platform.os) continue;
    const dev = entry.dev === true ? { dev: true } : {};
    lock.packages[path] = { version: range, ...platform, ...dev, optional: true };
    added += 1;
  }
}
const root = lock.packages[''] ?? {};
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = { '': root, ...Object.fromEntries(sorted) };
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} optional platform packages added`);
