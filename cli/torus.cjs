#!/usr/bin/env node
// The command `torus`. Runs on any Node: it finds a Node that strips types (>= 24.18.1), the one
// running it or the one of the npm package `node`, and hands over to cli/main.ts. A signal is passed
// on even though a terminal has sent it to both processes: torus takes the two for one.
'use strict';
const { existsSync } = require('node:fs');
const { constants } = require('node:os');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const [major, minor, patch] = process.versions.node.split('.').map(Number);
const isRecent = major > 24 || (major === 24 && (minor > 18 || (minor === 18 && patch >= 1)));
const root = join(__dirname, '..');
const packaged = join(root, 'node_modules', 'node', 'bin', 'node');
function refuse(why) {
  console.error(`torus ${why}`);
  process.exit(64);
}

if (!existsSync(join(root, 'node_modules'))) {
  refuse(`is not installed yet: run 'npm ci' in ${root}`);
} else if (isRecent) {
  // It runs nothing by itself when another file is the process's main one.
  import(pathToFileURL(join(root, 'cli', 'main.ts'))).then((main) =>
    main.run(process.argv.slice(2)),
  );
} else if (existsSync(packaged)) {
  const args = [join(root, 'cli', 'main.ts'), ...process.argv.slice(2)];
  const { spawn } = require('node:child_process');
  const child = spawn(packaged, args, { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) =>
    process.exit(signal === null ? code : 128 + constants.signals[signal]),
  );
} else {
  refuse(
    `needs Node >= 24.18.1 and this is ${process.versions.node}: run 'npm ci' in ${root}, which ` +
      'brings a Node of its own, or install a newer Node',
  );
}
